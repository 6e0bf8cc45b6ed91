"""Folder layouts of other toolkits: where HR and LR images are, and how their names are paired."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from srbench.images import ImageError
from srbench.images.folders import image_files, images_in

STABLESR = ("test_HR", "test_LR")
"""Folders of HR and LR in the test sets of StableSR, also used by later papers."""
_SRF = re.compile(r"(.+)_SRF_(\d+)_(HR|LR)")


@dataclass(frozen=True)
class Layout:
    """HR images of a folder, and LR images if it has them for the scale, by name. LR names may end in x4."""

    name: str
    """Name of the subfolder that identifies the layout."""
    hr: Mapping[str, Path]
    lr: Mapping[str, Path] | None = None
    lr_folder: str = ""
    """Subfolder of LR; empty without LR."""


def find_layout(folder: Path, scale: int) -> Layout | None:
    """Recognise the layout of a folder; None if the folder itself has images, or its layout is unknown.

    HR/NAME.png              with LR_bicubic/X4/NAMEx4.png   (EDSR, SwinIR)
    image_SRF_4/NAME_SRF_4_HR.png and NAME_SRF_4_LR.png      (SelfExSR); also that folder itself
    GTmod12/NAME.png         with LRbicx4/NAME.png           (ESRGAN, BasicSR)
    test_HR/NAME.png         with test_LR/NAME.png           (StableSR, OSEDiff)

    Raises ImageError for a layout without images, and for SelfExSR's folders if none is of the scale.
    """
    if not folder.is_dir():
        return None
    if re.fullmatch(r"image_SRF_\d+", folder.resolve().name):
        return _selfexsr(folder, scale)
    if image_files(folder):
        return None
    known = {path.name for path in folder.iterdir() if path.is_dir()}
    if "HR" in known:
        return _in_subfolders(folder, "HR", f"LR_bicubic/X{scale}")
    if "GTmod12" in known:
        return _in_subfolders(folder, "GTmod12", f"LRbicx{scale}")
    if known >= set(STABLESR):
        return _in_subfolders(folder, *STABLESR)
    of_scales = sorted(name for name in known if re.fullmatch(r"image_SRF_\d+", name))
    if f"image_SRF_{scale}" in of_scales:
        return _selfexsr(folder / f"image_SRF_{scale}", scale)
    if of_scales:
        raise ImageError(
            f"{folder}: has {', '.join(of_scales)} but nothing for scale {scale}; name the folder whose HR to use: "
            f"{folder / of_scales[-1]}"
        )
    return None


def _in_subfolders(folder: Path, hr: str, lr: str) -> Layout:
    images = images_in(folder / hr)
    return Layout(hr, images, images_in(folder / lr), lr) if (folder / lr).is_dir() else Layout(hr, images)


def _selfexsr(folder: Path, scale: int) -> Layout:
    """Find HR and LR, ignoring outputs in the same folder such as NAME_SRF_4_bicubic.png."""
    name = folder.resolve().name
    kinds: dict[str, dict[str, Path]] = {"HR": {}, "LR": {}}
    for stem, path in images_in(folder).items():
        if (match := _SRF.fullmatch(stem)) and name == f"image_SRF_{match[2]}":
            kinds[match[3]][match[1]] = path
    if not kinds["HR"]:
        raise ImageError(f"{folder}: contains no {name.removeprefix('image_')}_HR image; check the path")
    if kinds["LR"] and name == f"image_SRF_{scale}":
        return Layout(name, kinds["HR"], kinds["LR"], name)
    return Layout(name, kinds["HR"])
