"""Colour profiles and transparent pixels: what is converted, what stays as it is, and what is said."""

import io
import warnings

import numpy as np
import pytest
import tifffile
from icc_profiles import ADOBE_RGB, DISPLAY_P3, SRGB, grey_profile, rgb_profile, srgb_curve
from PIL import Image, ImageCms, PngImagePlugin

from srbench.images import ImageError
from srbench.images.io import read_image, read_uint8

COLOURS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
PHOTO = Image.fromarray(COLOURS)
P3 = rgb_profile("Display P3", DISPLAY_P3, srgb_curve())
ADOBE = rgb_profile("Adobe RGB (1998)", ADOBE_RGB, 563 / 256)
GREY_22 = grey_profile("Gray Gamma 2.2", 2.2)
BUILT_IN = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
SRGB_PROFILES = {
    "of version 4, by LittleCMS": BUILT_IN,
    "of version 2, called otherwise": rgb_profile("Camera 7", SRGB, srgb_curve()),
    "of version 2, with a short curve": rgb_profile("c2", SRGB, srgb_curve(64)),
}


def by_pillow(image, profile):
    return np.asarray(ImageCms.profileToProfile(image, io.BytesIO(profile), ImageCms.createProfile("sRGB")))


def pixels(path):
    return read_uint8(path).permute(1, 2, 0).numpy()


@pytest.mark.parametrize(
    ("name", "profile", "said"),
    [
        ("a.png", P3, "Display P3"),
        ("a.jpg", ADOBE, r"Adobe RGB \(1998\)"),
        ("a.tif", P3, "Display P3"),
        ("a.webp", ADOBE, r"Adobe RGB \(1998\)"),
        ("a.png", rgb_profile("Gamma 2.2", SRGB, 2.2), "Gamma 2.2"),
    ],
)
def test_a_profile_is_converted_as_pillow_does(tmp_path, name, profile, said):
    path = tmp_path / name
    PHOTO.save(path, icc_profile=profile)
    stored = Image.open(path).convert("RGB")
    with pytest.warns(UserWarning, match=rf"the colour profile {said} is converted to sRGB"):
        found = pixels(path)
    assert np.array_equal(found, by_pillow(stored, profile))
    assert not np.array_equal(found, np.asarray(stored))
    assert np.array_equal(read_image(path).permute(1, 2, 0).mul(255).round().numpy(), found)


@pytest.mark.parametrize(
    ("ending", "kind"),
    [*((ending, None) for ending in ("png", "jpg", "tif")), *(("webp", kind) for kind in SRGB_PROFILES)],
)
def test_srgb_and_files_without_a_profile_stay_as_they_are(tmp_path, ending, kind):
    path = tmp_path / f"a.{ending}"
    PHOTO.save(path, **({} if kind is None else {"icc_profile": SRGB_PROFILES[kind]}))
    with warnings.catch_warnings(action="error"):
        assert np.array_equal(pixels(path), np.asarray(Image.open(path).convert("RGB")))


@pytest.mark.parametrize("fact", [(b"gAMA", b"\0\1\x86\xa0"), (b"sRGB", b"\0")])
def test_other_colour_facts_of_png_are_ignored(tmp_path, fact):
    facts = PngImagePlugin.PngInfo()
    facts.add(*fact)
    PHOTO.save(tmp_path / "a.png", pnginfo=facts)
    assert np.array_equal(pixels(tmp_path / "a.png"), COLOURS)


def test_grey_with_a_grey_profile(tmp_path):
    path, grey = tmp_path / "a.png", Image.fromarray(COLOURS[..., 0])
    grey.save(path, icc_profile=GREY_22)
    transform = ImageCms.buildTransform(io.BytesIO(GREY_22), ImageCms.createProfile("sRGB"), "L", "RGB")
    with pytest.warns(UserWarning, match="Gray Gamma 2.2"):
        assert np.array_equal(pixels(path), np.asarray(ImageCms.applyTransform(grey, transform)))
    grey.save(path, icc_profile=grey_profile("sRGB grey", srgb_curve()))
    assert np.array_equal(pixels(path), np.repeat(COLOURS[..., :1], 3, -1))


@pytest.mark.parametrize(
    ("name", "image", "profile", "says"),
    [
        ("a.png", PHOTO, P3[:300], "a damaged colour profile"),
        ("a.png", PHOTO, b"no profile", "a damaged colour profile"),
        ("a.jpg", PHOTO, LAB, r"a colour profile of Lab \(Lab identity built-in\) on RGB pixels"),
        ("a.png", PHOTO, GREY_22, r"a colour profile of grey \(Gray Gamma 2.2\) on RGB pixels"),
        ("a.jpg", PHOTO.convert("CMYK"), None, "a CMYK image, .* save it as RGB"),
        ("a.tif", PHOTO.convert("CMYK"), None, "a CMYK image, .* save it as RGB"),
    ],
)
def test_what_cannot_be_converted_is_refused(tmp_path, name, image, profile, says):
    image.save(tmp_path / name, **({} if profile is None else {"icc_profile": profile}))
    with pytest.raises(ImageError, match=rf"{name}: {says}") as caught:
        read_uint8(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_16_bits_with_a_profile(tmp_path):
    path, wide = tmp_path / "a.tif", COLOURS.astype(np.uint16) * 257
    tifffile.imwrite(path, wide, photometric="rgb", iccprofile=BUILT_IN)
    assert np.array_equal(pixels(path), COLOURS)
    tifffile.imwrite(path, wide, photometric="rgb", iccprofile=P3)
    with pytest.raises(ImageError, match=r"a\.tif: 16 bits per channel with the colour profile Display P3; convert it"):
        read_uint8(path)


def test_each_profile_of_a_folder_is_named_once(tmp_path):
    for name, profile in (("a", P3), ("b", ADOBE), ("c", P3), ("d", BUILT_IN), ("e", None)):
        PHOTO.save(tmp_path / f"{name}.png", **({} if profile is None else {"icc_profile": profile}))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        for name in "abcde":
            read_uint8(tmp_path / f"{name}.png")
    assert [str(one.message) for one in heard] == [
        f"{tmp_path}/{file}.png: the colour profile {name} is converted to sRGB, here and in other images of the folder"
        for file, name in (("a", "Display P3"), ("b", "Adobe RGB (1998)"))
    ]


ALPHA = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (24, 1))


@pytest.mark.parametrize("profile", [None, P3], ids=["without a profile", "Display P3"])
def test_transparent_pixels_are_over_white(tmp_path, profile):
    path = tmp_path / "a.png"
    image = Image.fromarray(np.dstack([COLOURS, ALPHA]))
    image.save(path, **({} if profile is None else {"icc_profile": profile}))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        found = pixels(path)
    assert (
        str(heard[-1].message)
        == f"{path}: transparent pixels are composited over white, here and in other images of the folder"
    )
    colours = COLOURS if profile is None else by_pillow(PHOTO, profile)
    share = ALPHA[..., None] / 255
    assert np.abs(found - (colours * share + 255 * (1 - share))).max() <= 0.51


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_upscale_writes_srgb(tmp_path, command):
    PHOTO.save(tmp_path / "a.png", icc_profile=P3)
    words = ("upscale", tmp_path, "--models", "bicubic", "--scale", 2, "--out", tmp_path / "out", "--device", "cpu")
    assert command(*words).code == 0
    assert "icc_profile" not in Image.open(tmp_path / "out" / "a.png").info
