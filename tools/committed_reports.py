"""Make reports of runs small enough to be committed.

    python tools/committed_reports.py reports/photos-x8 reports/photos-x4

Keeps report.md, its plots and strips, table.tex and table.csv in RUN/report. Strips become WebP files, a fifth of their
size. Everything else is deleted; ``srbench report RUN`` makes it again as long as RUN
has its images. ``srbench verify RUN --resample all`` makes the images of RUN again, and compares the texts with theirs.
"""

from __future__ import annotations

import argparse
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from srbench.reporting import ReportError
from srbench.reporting.generated_folder import FOLDER, read_listing, replacing
from srbench.reporting.writers.report import FORMATS
from srbench.reporting.writers.small_report import small_text

QUALITY = 90
"""Quality of WebP, at which strips look like the PNG, even in the magnified windows."""
KEPT = {FORMATS["tex"], "table.csv"}


def make_small(run: Path) -> None:
    """Replace the report of a run by one that can be committed.

    Raises ReportError if there is no report, or one that was changed since srbench made it.
    """
    folder = run / FOLDER
    listing = read_listing(folder)
    if listing is None:
        raise ReportError(f"{folder}: no report; run srbench report {run}")
    with replacing(folder) as draft:
        draft.listing.records, draft.listing.images = listing.records, listing.images
        draft.listing.choices = listing.choices  # without the digest of the code, whose report has other images
        text = small_text((folder / FORMATS["md"]).read_text(encoding="utf-8"))
        for name in listing.files:
            strip = Path(name).with_suffix(".webp").as_posix()
            if name in KEPT or f"]({quote(name)})" in text:
                draft.write(name, (folder / name).read_bytes())
            elif name.endswith(".png") and f"]({quote(strip)})" in text:
                draft.write(strip, webp(folder / name))
        draft.write(FORMATS["md"], text.encode())


def webp(path: Path) -> bytes:
    """Convert an image file to WebP."""
    content = BytesIO()
    with Image.open(path, formats=["PNG"]) as image:
        image.save(content, "WEBP", quality=QUALITY, method=6)
    return content.getvalue()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    for run in parser.parse_args().runs:
        make_small(run)
