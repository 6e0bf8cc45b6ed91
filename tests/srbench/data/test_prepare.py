"""From published archives to folders: small archives of the same shape, and what goes wrong with them."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from io import BytesIO

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from srbench.data.prepare import celeba
from srbench.images.io import crop_centre, read_uint8, write_png
from srbench.images.resize import downscale_uint8


def smooth_image(height, width, seed=0):
    small = torch.rand(1, 3, height // 16 + 2, width // 16 + 2, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(small, (height, width), mode="bicubic")[0]
    return smooth.clamp(0, 1).mul(255).byte()


def write_zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def write_tar(path, members):
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, BytesIO(content))


@pytest.fixture
def div2k(tmp_path):
    """Archives with the members of the real ones; their contents are not looked at."""
    for part, numbers in (("train", range(1, 801)), ("valid", range(801, 901))):
        members = {f"DIV2K_{part}_HR/{number:04}.png": b"image %d" % number for number in numbers}
        write_zip(tmp_path / f"DIV2K_{part}_HR.zip", {f"DIV2K_{part}_HR/": b"", **members})
    return tmp_path


def test_div2k(srbench, div2k):
    out = div2k / "out"
    (out / "train").mkdir(parents=True)
    (out / "train" / "0007.png").write_text("made before")
    assert srbench("data", "prepare", "div2k", div2k, "--out", out).exit_code == 0
    assert [path.name for path in sorted((out / "train").iterdir())] == [f"{n:04}.png" for n in range(1, 801)]
    assert [path.name for path in sorted((out / "val").iterdir())] == [f"{n:04}.png" for n in range(801, 901)]
    assert (out / "train" / "0800.png").read_text() == "image 800"
    assert (out / "train" / "0007.png").read_text() == "made before"


def test_archives_that_are_missing_cut_off_or_damaged(srbench, div2k):
    def fault():
        result = srbench("data", "prepare", "div2k", div2k, "--out", div2k / "out")
        assert result.exit_code == 1
        return result.stderr.splitlines()[-1]

    archive = div2k / "DIV2K_train_HR.zip"
    whole = archive.read_bytes()
    archive.unlink()
    assert f"{archive}: no such file; download it from https://data.vision.ee.ethz.ch/cvl/DIV2K/" in fault()
    archive.write_bytes(whole[: len(whole) // 2])
    assert f"{archive}: damaged or incomplete" in fault()
    archive.write_bytes(whole.replace(b"image 400", b"image 4x0"))
    assert "Bad CRC-32 for file 'DIV2K_train_HR/0400.png'" in fault()
    write_zip(archive, {"DIV2K_train_HR/0001.png": b""})
    assert f"{archive}: holds 1 of 800 images; download it again" in fault()


def test_flickr2k(srbench, tmp_path):
    members = {f"Flickr2K/Flickr2K_HR/{number:06}.png": b"image" for number in range(1, 2651)}
    write_tar(tmp_path / "Flickr2K.tar", members | {"Flickr2K/Flickr2K_LR_bicubic/X2/000001x2.png": b"small"})
    assert srbench("data", "prepare", "flickr2k", tmp_path, "--out", tmp_path / "out").exit_code == 0
    assert len(list((tmp_path / "out" / "train").iterdir())) == 2650
    whole = (tmp_path / "Flickr2K.tar").read_bytes()
    for size, message in ((700_300, "damaged or incomplete"), (1024 * 100, "holds 100 of 2650")):
        (tmp_path / "Flickr2K.tar").write_bytes(whole[:size])
        result = srbench("data", "prepare", "flickr2k", tmp_path, "--out", tmp_path / "again")
        assert result.exit_code == 1
        assert message in result.stderr.splitlines()[-1]


def test_the_similarity_is_opencvs():
    random = np.random.default_rng(0)
    points, to = random.normal(size=(2, 68, 2)) * 30
    to = to + points @ np.array([[1.5, 0.4], [-0.4, 1.5]]) + 100
    expected, _ = cv2.estimateAffinePartial2D(points, to, ransacReprojThreshold=1e9)
    assert celeba.similarity(points, to) == pytest.approx(expected, rel=1e-3, abs=1e-2)


@pytest.fixture
def faces(tmp_path):
    """Three images of CelebA, one of each split, and where their landmarks are, known by how they were made."""
    standard = np.random.default_rng(1).uniform(-0.5, 0.5, (68, 2))
    upright = (standard + np.array([0, 0.25])) * 640 * 0.6 + 320
    turn = np.array([[0.8, -0.3, 150.0], [0.3, 0.8, 40.0]])
    lines = []
    for number in (1, 162771, 202599):
        face = smooth_image(640, 640, number)
        turned = cv2.warpAffine(face.permute(1, 2, 0).numpy(), turn, (900, 800), borderMode=cv2.BORDER_REPLICATE)
        write_png(tmp_path / "img_celeba" / f"{number:06}.png", torch.from_numpy(turned).permute(2, 0, 1))
        (tmp_path / "img_celeba" / f"{number:06}.png").rename(tmp_path / "img_celeba" / f"{number:06}.jpg")
        landmarks = upright @ turn[:, :2].T + turn[:, 2]
        lines.append(f"{number:06}.jpg  {' '.join(f'{value:.2f}' for value in landmarks.ravel())}")
    texts = {
        "landmark.txt": "\n".join(lines),
        "standard_landmark_68pts.txt": "\n".join(map("{0[0]} {0[1]}".format, standard)),
    }
    write_zip(tmp_path / "annotations.zip", {f"annotations/{name}": text for name, text in texts.items()})
    return tmp_path


def test_celeba(srbench, faces):
    """Faces come out upright, 160x160, in their splits; what is there already stays."""
    out = faces / "out"
    result = srbench("data", "prepare", "celeba", faces, "--out", out)
    assert result.exit_code == 0, result.stderr
    for split, number in (("train", 1), ("val", 162771), ("test", 202599)):
        assert [path.name for path in (out / split).iterdir()] == [f"{number:06}.png"]
        made = read_uint8(out / split / f"{number:06}.png").double()
        expected = downscale_uint8(smooth_image(640, 640, number), 4).double()
        assert made.shape == (3, 160, 160)
        inside = (made - expected)[:, 8:-8, 8:-8]
        assert inside.square().mean().sqrt() < 1.5, "grey levels; JPEG and two interpolations apart"
    (out / "val" / "162771.png").write_text("made before")
    assert srbench("data", "prepare", "celeba", faces, "--out", out).exit_code == 0
    assert (out / "val" / "162771.png").read_text() == "made before"


def test_celeba_that_is_incomplete(srbench, faces):
    def fault():
        result = srbench("data", "prepare", "celeba", faces, "--out", faces / "out")
        assert result.exit_code == 1
        return result.stderr.splitlines()[-1]

    (faces / "img_celeba" / "162771.jpg").unlink()
    assert "lacks 1 of 3 images, first 162771.jpg; unpack it again" in fault()
    write_zip(faces / "annotations.zip", {"landmark.txt": "000001.jpg 1 2 3", "standard_landmark_68pts.txt": "0 0"})
    assert "annotations.zip: not the expected file" in fault()
    (faces / "annotations.zip").unlink()
    assert "annotations.zip: no such file; download it from the links of https://github.com/LynnHo" in fault()
    shutil.rmtree(faces / "img_celeba")
    assert "get img_celeba.7z from http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html" in fault()


def test_aligned_celeba(srbench, tmp_path, monkeypatch):
    monkeypatch.setattr(celeba, "SPLITS", {"train": range(1, 3), "val": range(3, 4), "test": range(4, 5)})
    (tmp_path / "img_align_celeba").mkdir()
    for number in range(1, 5):
        pixels = smooth_image(218, 178, number).permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(tmp_path / "img_align_celeba" / f"{number:06}.jpg")
    assert srbench("data", "prepare", "celeba-aligned", tmp_path, "--out", tmp_path / "out").exit_code == 0
    assert len(list((tmp_path / "out").rglob("*.png"))) == 4
    expected = crop_centre(read_uint8(tmp_path / "img_align_celeba" / "000002.jpg"), 160)
    assert torch.equal(read_uint8(tmp_path / "out" / "train" / "000002.png"), expected)
