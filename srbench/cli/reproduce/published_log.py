"""Logs of evaluation scripts: the values of every image, and their means, as their authors published them.

A line with the name of an image has its values, and a line without one the means:

    ... results/a.png | PSNR: 25.793726; SSIM: 0.851268 | Runtime: 1.06 sec
    PSNR: 25.1511; SSIM: 0.7341 | FID: 123.493817 | FID Runtime: 6.79 sec
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from srbench.cli.reproduce import ReproduceError
from srbench.images.io import ENDINGS

_IMAGE = re.compile(rf"(\S+)({'|'.join(map(re.escape, ENDINGS))})\s*[|:]", re.IGNORECASE)
_VALUE = re.compile(r"([A-Za-z][\w+-]*)\s*[:=]\s*(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.:]| ?(?:sec|s|ms)\b)")


@dataclass(frozen=True)
class PublishedLog:
    """Values that a log states."""

    images: dict[str, dict[str, float]]
    """Values of every image, by name without ending and by column."""
    means: dict[str, str]
    """Means as printed, by column; also values that all images have together, such as FID."""


def read_log(path: Path) -> PublishedLog:
    """Read a log. Raises ReproduceError if it cannot be read, or states no value of an image."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise ReproduceError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    images: dict[str, dict[str, float]] = {}
    means: dict[str, str] = {}
    for line in lines:
        if found := _IMAGE.search(line):
            values = {name: float(number) for name, number in _VALUE.findall(line[found.end() :])}
            if values:
                images[PurePosixPath(found[1]).name] = values
        elif images and (found := _VALUE.match(line)):
            means |= dict(_VALUE.findall(line))
    if not images:
        raise ReproduceError(f"{path}: no line with the values of an image (NAME.png | PSNR: 25.79; ...)")
    return PublishedLog(images, means)
