import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from srbench.files.atomic import replaced_whole, write_new, write_whole
from srbench.images import ImageError
from srbench.images.io import (
    crop_centre,
    crop_to_multiple,
    header_size,
    luma,
    quantize_floor,
    quantize_round,
    read_image,
    write_png,
)
from srbench.interfaces import SRBenchError

COLOURS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def saved(path, **options):
    Image.fromarray(COLOURS).save(path, **options)
    return path


def levels(path):
    """(h, w, 3) uint8, exactly."""
    image = read_image(path)
    assert image.dtype == torch.float32
    assert image.is_contiguous()
    array = image.permute(1, 2, 0).mul(255).round()
    assert torch.equal(array.div(255), image.permute(1, 2, 0))
    return array.to(torch.uint8).numpy()


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "tiff", "webp"])
def test_formats_without_loss(tmp_path, ending):
    options = {"lossless": True} if ending == "webp" else {}
    path = saved(tmp_path / f"a.{ending}", **options)
    assert np.array_equal(levels(path), COLOURS)


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned a quarter to the right
    path = saved(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(levels(path), np.rot90(COLOURS, -1))


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
def test_the_size_in_a_header_is_that_of_the_image_as_read(tmp_path, ending, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{ending}"
    Image.new("RGB", (12, 8)).save(path, exif=exif)
    assert header_size(path) == tuple(read_image(path).shape[:0:-1])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"a\.png: no such file"):
        read_image(tmp_path / "a.png")


def test_png_is_read_as_it_was_written(tmp_path):
    image = torch.from_numpy(COLOURS).permute(2, 0, 1)
    write_png(tmp_path / "new" / "a.png", image)
    assert np.array_equal(levels(tmp_path / "new" / "a.png"), COLOURS)


def test_a_file_is_old_or_new_but_never_half(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_whole(path, b"old")

    def fail(self, target):
        raise OSError("killed before the rename")

    with monkeypatch.context() as patch:
        patch.setattr(type(path), "replace", fail)
        with pytest.raises(OSError, match="killed"):
            write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_named_by_the_file(tmp_path):
    def fill_the_disk():
        with replaced_whole(tmp_path / "a.png") as temporary:
            temporary.symlink_to("/dev/full")
            temporary.write_bytes(b"pixels")

    with pytest.raises(OSError, match="No space left") as caught:
        fill_the_disk()
    assert caught.value.filename == str(tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_write_access_is_named_by_the_file(tmp_path, monkeypatch):
    """Neither by the temporary file nor, at the end, by its removal."""

    def refuse(path, *_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    for method in ("open", "write_bytes", "replace", "unlink"):
        monkeypatch.setattr(type(tmp_path), method, refuse)
    with pytest.raises(OSError, match="Read-only file system") as caught:
        write_whole(tmp_path / "a.png", b"pixels")
    assert caught.value.filename == str(tmp_path / "a.png")


def test_two_writers_of_a_file_do_not_share_a_temporary_file(tmp_path):
    path = tmp_path / "a.png"
    with replaced_whole(path) as first, replaced_whole(path) as second:
        first.write_bytes(b"first")
        second.write_bytes(b"second")
    assert path.read_bytes() == b"first", "renamed last"
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_quantisation():
    images = torch.tensor([-1.0, 0.0, 0.4999 / 255, 0.5 / 255, 1.5 / 255, 254.9 / 255, 1.0, 9.0])
    assert quantize_floor(images).tolist() == [0, 0, 0, 0, 1, 254, 255, 255]
    assert quantize_round(images).tolist() == [0, 0, 0, 1, 2, 255, 255, 255]


def test_8_bit_values_survive_both_quantisations():
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(quantize_floor(every.float().div(255)), every)
    assert torch.equal(quantize_round(every.float().div(255)), every)


def test_luma_of_known_colours():
    """MATLAB's rgb2ycbcr of black, white, red, green, blue and a grey."""
    colours = [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 128, 128]]
    images = torch.tensor(colours, dtype=torch.uint8).reshape(6, 3, 1, 1)
    assert luma(images).flatten().tolist() == [16, 235, 81, 145, 41, 126]


def test_crops():
    image = torch.arange(7 * 10).reshape(1, 7, 10)
    assert torch.equal(crop_to_multiple(image, 4), image[:, :4, :8])
    assert torch.equal(crop_centre(image, 4), image[:, 1:5, 3:7])


def test_a_link_that_leads_nowhere_is_kept(tmp_path):
    (tmp_path / "x").symlink_to("gone")
    with pytest.raises(SRBenchError, match="exists with different contents"):
        write_new(tmp_path / "x", b"new")
    assert (tmp_path / "x").is_symlink()
