"""Defaults, choices and limits of the options of a request, for the help of the command line, which loads little."""

from __future__ import annotations

import re
from typing import Literal, get_args

LARGEST_COUNT = 2**31 - 1
SUITE = "srflow"
"""Default suite."""
SAMPLES = 5
"""Samples per image, unless the command or the suite states a number."""
DEVICES = ("auto", "cpu", "cuda", "cuda:N", "mps")
"""Values of ``--device``; N is the number of a single GPU."""
Average = Literal["images", "groups"]
AVERAGES = get_args(Average)
"""Values of ``--average``, of which the first is the default: what means, intervals and tests are over."""


def is_device(text: str) -> bool:
    """Return whether a text is one of DEVICES."""
    return re.sub(r"^cuda:\d+$", "cuda:N", text) in DEVICES and text != "cuda:N"


def parse_shard(text: str | None) -> tuple[int, int]:
    """Parse ``2/8``, the second of eight parts of the images, to (2, 8); None means 1/1. Raises ValueError."""
    if text is None:
        return 1, 1
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f"{text!r} is not a shard; give 1/4 to 4/4 for a run in four parts")
    return int(match[1]), int(match[2])
