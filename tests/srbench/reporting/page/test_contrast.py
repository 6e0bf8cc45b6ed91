"""Colours of the page: contrast of its text by WCAG 2.2, level AA."""

from __future__ import annotations

import re

import numpy as np
import pytest

from srbench.reporting.tables.templating import source

AA = 4.5
STYLE = source("report.css")


def colour(name, scheme):
    """RGB in [0, 1] of a custom property."""
    value = re.search(rf"--{name}: light-dark\((#\w+), (#\w+)\)", STYLE)[1 + (scheme == "dark")].lstrip("#")
    digits = "".join(digit * 2 for digit in value) if len(value) == 3 else value
    return np.array([int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)])


def contrast(one, other):
    """WCAG 2.2, relative luminance and contrast ratio."""
    linear = (np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) for rgb in (one, other))
    low, high = sorted(float(rgb @ [0.2126, 0.7152, 0.0722]) for rgb in linear)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_all_that_is_behind_it(scheme):
    behind = {name: colour(name, scheme) for name in ("paper", "panel", "mat")}
    for text in ("ink", "soft"):
        for name, other in behind.items():
            assert contrast(colour(text, scheme), other) >= AA, f"{text} on {name}"
    for badge in "abcd":
        assert contrast(colour("on-colour", scheme), colour(badge, scheme)) >= AA, badge
