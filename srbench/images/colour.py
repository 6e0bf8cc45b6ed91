"""Colours of image files as sRGB over white: ICC profiles converted, transparent pixels put on a background."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from functools import cache, lru_cache
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from srbench.files.paths import no_file
from srbench.images import ImageError
from srbench.images.strict_decoding import FAULTS, FORMATS
from srbench.words import one_line, printable

if TYPE_CHECKING:  # LittleCMS is loaded for files with a profile alone
    from PIL.ImageCms import ImageCmsProfile, ImageCmsTransform

BACKGROUND = "white"
"""Colour behind transparent pixels."""
SAME = 2
"""Levels by which a profile may move a colour and still count as sRGB: tables of short profiles are rounded so far."""
_SAVE = "convert it to sRGB, or remove the profile if the pixels are sRGB"
_LONGEST = 60


def shown(image: Image.Image) -> tuple[Image.Image, str, bool]:
    """A decoded image as RGB, the name of the profile that was converted, if any, and whether pixels are transparent.

    Colours are converted to sRGB by the ICC profile, and are over BACKGROUND where the image is transparent. LittleCMS
    converts, with the perceptual intent that is the default of ``ImageCms.profileToProfile``; the profiles of cameras
    and screens hold a matrix, for which all intents are equal. Pixels with an sRGB profile, or none, stay as they are;
    other facts on colour (gAMA, cHRM and cICP of PNG, EXIF) are ignored, as by most programs.
    Raises ImageError for CMYK, and for a profile that is damaged or of other channels than the pixels.
    """
    if image.mode == "CMYK":
        raise ImageError("a CMYK image, whose colours depend on a printer; save it as RGB, in sRGB")
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    profile = foreign_profile(image)
    name, rgb = (profile.name, profile.converted(image)) if profile else ("", image.convert("RGB"))
    if alpha is None or alpha.getextrema() == (255, 255):
        return rgb, name, False
    return Image.composite(rgb, Image.new("RGB", rgb.size, BACKGROUND), alpha), name, True


def over_white(pixels: NDArray[np.uint16], alpha: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """16-bit values, (h, w) or (h, w, 3), over white by their alpha channel (h, w), rounded."""
    share = alpha.astype(np.uint64).reshape(*alpha.shape, *[1] * (pixels.ndim - 2))
    return ((pixels * share + 65535 * (65535 - share) + 32767) // 65535).astype(np.uint16)


class Profile(NamedTuple):
    """An ICC profile other than sRGB."""

    name: str
    mode: str
    """Pillow's name for its channels: ``RGB``, or ``L`` for grey."""
    transform: ImageCmsTransform

    def converted(self, image: Image.Image) -> Image.Image:
        """RGB in sRGB of an image with this profile."""
        from PIL import ImageCms

        made = ImageCms.applyTransform(image.convert(self.mode), self.transform)
        assert made is not None
        return made


def foreign_profile(image: Image.Image) -> Profile | None:
    """The profile of an image if its colours are not sRGB. Raises ImageError for one that cannot be used."""
    if "icc_profile" not in image.info:
        return None
    content = image.info["icc_profile"]
    if not content:  # Pillow could not unpack it
        raise ImageError(f"a damaged colour profile; {_SAVE}")
    name, space, profile = _opened(bytes(content))
    if space == "GRAY" and image.mode in ("L", "LA", "1", "I;16"):
        return profile
    if space == "Lab" and image.mode == "LAB":  # Pillow converts it
        return None
    if space != "RGB" or image.mode == "LAB":
        kind = {"GRAY": "grey", "RGB": "RGB"}.get(space, space)
        raise ImageError(f"a colour profile of {kind} ({name}) on {image.mode} pixels; {_SAVE}")
    return profile


@lru_cache(maxsize=8)
def _opened(content: bytes) -> tuple[str, str, Profile | None]:
    """Name and colour space of a profile, and the profile if it can be converted and is not sRGB.

    Raises ImageError for one that LittleCMS cannot use.
    """
    from PIL import ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(content))
        name = _name(ImageCms.getProfileDescription(profile))
        space = profile.profile.xcolor_space.strip()
        mode = {"RGB": "RGB", "GRAY": "L"}.get(space)
        if mode is None or _is_srgb(profile, mode):
            return name, space, None
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")
    except ImportError:
        raise ImageError(f"a colour profile, and Pillow lacks LittleCMS, which converts it; {_SAVE}") from None
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError) as error:
        raise ImageError(f"a damaged colour profile ({one_line(error)}); {_SAVE}") from None
    return name, space, Profile(name, mode, transform)


def _is_srgb(profile: ImageCmsProfile, mode: str) -> bool:
    """True if the profile leaves greys and a grid of colours as they are, whatever it is called."""
    from PIL import ImageCms

    greys = [(level, level, level) for level in range(256)]
    colours = np.array([*greys, *(() if mode == "L" else product(range(0, 256, 15), repeat=3))], dtype=np.uint8)
    before = Image.fromarray(colours[None])
    transform = ImageCms.buildTransform(
        profile, ImageCms.createProfile("sRGB"), mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC
    )
    after = ImageCms.applyTransform(before.convert(mode), transform)
    return bool(np.abs(np.asarray(after).astype(int) - colours).max() <= SAME)


def _name(description: str) -> str:
    text = printable(one_line(description))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


@cache
def warn_of_profiles(folder: Path) -> None:
    """Tell once how many images of a folder are converted, and from what."""
    found = [*_profile_names(folder)]
    names = Counter(filter(None, found))
    listed = ", ".join(f"{name}: {count}" if len(names) > 1 else name for name, count in names.items())
    warnings.warn(
        f"{folder}: {names.total()} of {len(found)} images have a colour profile other than sRGB ({listed}); "
        "they are converted to sRGB",
        stacklevel=5,
    )


def _profile_names(folder: Path) -> Iterator[str]:
    """Yield the name of the profile that is converted, or nothing, for every image of a folder, by its header."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or no_file(path):
            continue
        try:
            with Image.open(path, formats=FORMATS) as image:
                profile = foreign_profile(image)
        except (ImageError, *FAULTS):
            continue
        yield profile.name if profile else ""


@cache
def warn_of_transparency(folder: Path) -> None:
    """Tell once that images of a folder are put on a background."""
    warnings.warn(f"{folder}: images with transparent pixels are put on {BACKGROUND}", stacklevel=5)
