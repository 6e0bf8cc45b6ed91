"""The report.md of a run whose images are left out, so that it is small enough to be committed."""

from __future__ import annotations

import re

CHECKED = "`srbench verify` checks this table: it measures every saved image in the run folder again."
"""Last line of the report.md of a run that has its images."""
CHECKED_ANEW = (
    "The images of this run are not here: `srbench verify --resample all` on its folder makes them again, and checks "
    "this table."
)
"""Last line of the report.md of a run whose images are not here."""


def small_text(text: str) -> str:
    """Return a report.md with its strips as WebP files and without the other images, whose run has no images here.

    ``tools/committed_reports.py`` writes it.
    """
    text = re.sub(r"(\]\(strips/[^)]+)\.png\)", r"\1.webp)", text.replace(CHECKED, CHECKED_ANEW))
    return "\n\n".join(each for each in text.split("\n\n") if not each.startswith("`strips/` has "))
