"""Pairing of the images of two folders by name, and the scale of pairs from their sizes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from srbench.images import ImageError
from srbench.images.io import header_size

SUGGESTED = 3
"""Number of missing images for which the nearest name is suggested; the search takes time in large folders."""
_SCALE = re.compile(r".+x([1-9][0-9]?)", re.DOTALL)


def ending_of(files: Collection[str], names: Collection[str], scale: int | None = None) -> str:
    """The suffix of every name in the other folder: empty, ``x4`` or ``_x4``, as BasicSR and EDSR name LR images.

    A single suffix holds for the whole folder, so pairs are never ambiguous: no two suffixes turn all ``names`` into
    all ``files``. If no suffix does, the suffix that fits most names is returned, and ``require_partners`` reports the
    rest. If ``scale`` is given, suffixes with another number do not count.
    """
    stated = {match[1] for file in files if (match := _SCALE.fullmatch(file))}
    numbers = stated if scale is None else stated & {str(scale)}
    endings = ["", *(f"{separator}x{number}" for number in sorted(numbers) for separator in ("", "_"))]
    return max(endings, key=lambda ending: sum(name + ending in files for name in names))


def partners(
    names: Collection[str],
    hr: object,
    files: Mapping[str, Path],
    lr: object,
    scale: int | None = None,
    lacking: Iterable[Unpaired] = (),
) -> dict[str, Path]:
    """Find the file for every name; ``files`` are the images of folder ``lr``, and ``hr`` is the folder of ``names``.

    Raises ImageError naming every image without a partner in either folder, after those that are ``lacking`` already.
    """
    ending = ending_of(files, names, scale)
    paired = {name + ending for name in names}
    alone = [file for file in files if file not in paired]
    require_partners([*lacking, *without_partner(names, hr, files, lr, ending, alone)])
    return {name: files[name + ending] for name in names}


Unpaired = tuple[object, Sequence[str], Sequence[str]]
"""A folder, the names of its missing images, and its images without a partner."""


def without_partner(
    names: Collection[str],
    hr: object,
    files: Collection[str],
    lr: object,
    ending: str,
    alone: Sequence[str],
    limit: int | None = None,
) -> list[Unpaired]:
    """Unpaired images of two folders, given the suffix ``ending`` and the images that are ``alone`` in ``lr``.

    Only the first ``limit`` names count as missing in ``lr``. Raises ImageError if ``lr`` has an image twice, with and
    without the suffix.
    """
    missing = [name for name in [*names][:limit] if name + ending not in files]
    for name in alone:
        if ending and name in names and name not in missing:
            raise ImageError(f"{lr}: {name} and {name}{ending} both belong to {name}; move one of them away")
    return [
        (lr, [name + ending for name in missing], alone),
        (hr, [file.removesuffix(ending) for file in alone if file not in names], missing),
    ]


def require_partners(lacking: Iterable[Unpaired]) -> None:
    """Raise ImageError naming all missing images, with the nearest existing name for the first few."""
    faults = []
    for folder, missing, alone in lacking:
        if missing:
            named = [*missing]
            for place, name in enumerate(missing[:SUGGESTED]):
                if nearest := get_close_matches(name, alone, n=1):
                    named[place] = f"{name} (nearest: {nearest[0]})"
            faults.append(f"{folder} lacks {', '.join(named)}")
    if faults:
        raise ImageError(f"images are paired by name, but {'; '.join(faults)}; add, rename or remove images")


WidthAndHeight = tuple[int, int]
"""Width and height."""


def scale_of_sizes(pairs: Iterable[tuple[str, WidthAndHeight, WidthAndHeight]]) -> int | None:
    """The scale of pairs (name, size of HR, size of LR); None if no size is known.

    Pairs with a size of 0 are skipped, because reading the image reports the fault. HR may be larger or smaller than
    scale times LR by less than the scale, because it may not be a multiple of the scale.

    Images of equal sizes have scale 1. Raises ImageError unless all pairs have the same scale, a whole number.
    """
    known = [pair for pair in pairs if 0 not in (*pair[1], *pair[2])]
    require_larger_hr(known)
    scales: dict[int, str] = {}
    for name, hr, lr in known:
        scale = round(hr[0] / lr[0])
        if scale < 1 or any(abs(side - scale * low) >= scale for side, low in zip(hr, lr, strict=True)):
            raise ImageError(
                f"{name}: {hr[0]}x{hr[1]} is not a whole number of times as large as LR of {lr[0]}x{lr[1]}; crop "
                "it, or give the scale"
            )
        scales.setdefault(scale, name)
    if len(scales) > 1:
        listed = ", ".join(f"{name} {scale} times" for scale, name in scales.items())
        raise ImageError(f"pairs differ in scale ({listed} as large as LR); give images of one scale")
    return next(iter(scales), None)


def scale_of_pairs(
    hr_sizes: Mapping[str, WidthAndHeight], hr: object, lr_files: Mapping[str, Path], lr: object
) -> int | None:
    """The scale of HR images, given by name, and LR files, paired as in ``partners``; None if no size is known.

    Raises ImageError if images lack a partner, which names that state another scale do not have, and as
    ``scale_of_sizes`` does.
    """
    pairs = partners(hr_sizes, hr, lr_files, lr)
    scale = scale_of_sizes((name, hr_sizes[name], header_size(path)) for name, path in pairs.items())
    if scale is not None:
        partners(hr_sizes, hr, lr_files, lr, scale)
    return scale


def require_larger_hr(pairs: Iterable[tuple[str, WidthAndHeight, WidthAndHeight]]) -> None:
    """Raise ImageError if the LR image of every pair (name, size of HR, size of LR) is larger than its HR image.

    Sizes are read up to the first pair whose LR image is not. Pairs with a size of 0 are skipped.
    """
    fault = ""
    for name, hr, lr in pairs:
        if 0 in (*hr, *lr):
            continue
        if lr[0] <= hr[0] or lr[1] <= hr[1]:
            return
        fault = fault or f"{name}: {hr[0]}x{hr[1]} is smaller than its LR image of {lr[0]}x{lr[1]}"
    if fault:
        raise ImageError(f"{fault}; exchange the folders of HR and LR images")
