"""From published archives to folders: small archives of the same shape, and what goes wrong with them."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tarfile
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from srbench.data.prepare import celeba, debian
from srbench.data.prepare.qt_resources import read_resources
from srbench.images.io import crop_centre, pixels_sha256, read_uint8, write_png
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
    assert srbench("data", "prepare", "div2k", div2k, out).exit_code == 0
    assert [path.name for path in sorted((out / "train").iterdir())] == [f"{n:04}.png" for n in range(1, 801)]
    assert [path.name for path in sorted((out / "val").iterdir())] == [f"{n:04}.png" for n in range(801, 901)]
    assert (out / "train" / "0800.png").read_text() == "image 800"
    assert (out / "train" / "0007.png").read_text() == "made before"


def test_archives_that_are_missing_cut_off_or_damaged(srbench, div2k):
    def fault():
        result = srbench("data", "prepare", "div2k", div2k, div2k / "out")
        assert result.exit_code == 1
        return result.stderr.splitlines()[-1]

    archive = div2k / "DIV2K_train_HR.zip"
    whole = archive.read_bytes()
    archive.unlink()
    assert f"{archive}: no such file; download it from https://data.vision.ee.ethz.ch/cvl/DIV2K/" in fault()
    archive.write_bytes(whole[: len(whole) // 2])
    assert f"{archive}: damaged, or not downloaded to the end" in fault()
    archive.write_bytes(whole.replace(b"image 400", b"image 4x0"))
    assert "Bad CRC-32 for file 'DIV2K_train_HR/0400.png'" in fault()
    write_zip(archive, {"DIV2K_train_HR/0001.png": b""})
    assert f"{archive}: holds 1 of 800 images; download it again" in fault()


def test_flickr2k(srbench, tmp_path):
    members = {f"Flickr2K/Flickr2K_HR/{number:06}.png": b"image" for number in range(1, 2651)}
    write_tar(tmp_path / "Flickr2K.tar", members | {"Flickr2K/Flickr2K_LR_bicubic/X2/000001x2.png": b"small"})
    assert srbench("data", "prepare", "flickr2k", tmp_path, tmp_path / "out").exit_code == 0
    assert len(list((tmp_path / "out" / "train").iterdir())) == 2650
    whole = (tmp_path / "Flickr2K.tar").read_bytes()
    for size, message in ((700_300, "not downloaded to the end"), (1024 * 100, "holds 100 of 2650")):
        (tmp_path / "Flickr2K.tar").write_bytes(whole[:size])
        result = srbench("data", "prepare", "flickr2k", tmp_path, tmp_path / "again")
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
    result = srbench("data", "prepare", "celeba", faces, out)
    assert result.exit_code == 0, result.stderr
    for split, number in (("train", 1), ("val", 162771), ("test", 202599)):
        assert [path.name for path in (out / split).iterdir()] == [f"{number:06}.png"]
        made = read_uint8(out / split / f"{number:06}.png").double()
        expected = downscale_uint8(smooth_image(640, 640, number), 4).double()
        assert made.shape == (3, 160, 160)
        inside = (made - expected)[:, 8:-8, 8:-8]
        assert inside.square().mean().sqrt() < 1.5, "grey levels; JPEG and two interpolations apart"
    (out / "val" / "162771.png").write_text("made before")
    assert srbench("data", "prepare", "celeba", faces, out).exit_code == 0
    assert (out / "val" / "162771.png").read_text() == "made before"


def test_celeba_that_is_incomplete(srbench, faces):
    def fault():
        result = srbench("data", "prepare", "celeba", faces, faces / "out")
        assert result.exit_code == 1
        return result.stderr.splitlines()[-1]

    (faces / "img_celeba" / "162771.jpg").unlink()
    assert "lacks 1 of 3 images, first 162771.jpg; unpack it again" in fault()
    write_zip(faces / "annotations.zip", {"landmark.txt": "000001.jpg 1 2 3", "standard_landmark_68pts.txt": "0 0"})
    assert "annotations.zip: not what it should be" in fault()
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
    assert srbench("data", "prepare", "celeba-aligned", tmp_path, tmp_path / "out").exit_code == 0
    assert len(list((tmp_path / "out").rglob("*.png"))) == 4
    expected = crop_centre(read_uint8(tmp_path / "img_align_celeba" / "000002.jpg"), 160)
    assert torch.equal(read_uint8(tmp_path / "out" / "train" / "000002.png"), expected)


def resource_file(files):
    """A Qt resource file of version 3 with one folder ``images``; every second file is compressed."""
    data, names, nodes = b"", b"", []

    def name(text):
        nonlocal names
        names += struct.pack(">HI", len(text), 0) + text.encode("utf-16-be")
        return len(names) - 6 - 2 * len(text)

    nodes.append(struct.pack(">IHII", 0, 2, 1, 1) + bytes(8))
    nodes.append(struct.pack(">IHII", name("images"), 2, len(files), 2) + bytes(8))
    for i, (text, content) in enumerate(files.items()):
        body = struct.pack(">I", len(content)) + zlib.compress(content) if i % 2 else content
        nodes.append(struct.pack(">IHHHI", name(text), i % 2, 0, 0, len(data)) + bytes(8))
        data += struct.pack(">I", len(body)) + body
    tree = b"".join(nodes)
    header = b"qres" + struct.pack(">IIII", 3, 24, 24 + len(tree), 24 + len(tree) + len(data)) + bytes(4)
    return header + tree + data + names


def test_qt_resources():
    files = {"first.png": b"first" * 9, "zweites Bild.jpg": b"second" * 9}
    assert read_resources(resource_file(files)) == {f"/images/{name}": content for name, content in files.items()}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A Debian package with two photographs, one in a resource file, and an apt-get that has it."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("needs dpkg-deb")
    share, image = tmp_path / "tree" / "usr" / "share", smooth_image(40, 60)
    write_png(share / "a.png", image)
    (share / "b.rcc").write_bytes(resource_file({"c.png": (share / "a.png").read_bytes()}))
    control = tmp_path / "tree" / "DEBIAN" / "control"
    control.parent.mkdir()
    control.write_text("Package: photos\nVersion: 1\nArchitecture: all\nMaintainer: x <x@y.z>\nDescription: x\n")
    subprocess.run(
        ["dpkg-deb", "--build", tmp_path / "tree", tmp_path / "photos_1_all.deb"], check=True, capture_output=True
    )
    apt = tmp_path / "bin" / "apt-get"
    apt.parent.mkdir()
    apt.write_text(
        f"#!/bin/sh\n[ $2 = photos ] || {{ echo E: no such package >&2; exit 100; }}\ncp {tmp_path}/*.deb .\n"
    )
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{apt.parent}:/usr/bin:/bin")
    halved = torch.from_numpy(np.array(Image.fromarray(image.permute(1, 2, 0).numpy()).reduce(2))).permute(2, 0, 1)
    listed = tmp_path / "list.csv"
    listed.write_text(
        "file,package,path,downscale,sha256\n"
        f"train/one.png,photos,/usr/share/a.png,1,{pixels_sha256(image)}\n"
        f"val/two.png,photos,/usr/share/b.rcc!/images/c.png,2,{pixels_sha256(halved)}\n"
    )
    monkeypatch.setattr(debian, "LIST", listed)
    return listed


def test_debian_photos(srbench, package, tmp_path, monkeypatch):
    def fault():
        result = srbench("data", "prepare", "debian-photos", tmp_path / "out")
        assert result.exit_code == 1
        return result.stderr.splitlines()[-1]

    result = srbench("data", "prepare", "debian-photos", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    found = sorted(path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert found == [Path("train/one.png"), Path("val/two.png")], "packages are removed"
    rows = package.read_text()
    package.write_text(rows.replace(rows.split(",")[-1].strip(), "0" * 64))
    assert "1 of 2 photographs are not those that the packaged models were trained on" in fault()
    package.write_text(rows.replace("/usr/share/a.png", "/usr/share/z.png"))
    assert "photos: no /usr/share/z.png in this version of the package" in fault()
    package.write_text(rows.replace(",photos,", ",paintings,"))
    assert "apt-get download failed: E: no such package; run apt-get update first, on Debian 13" in fault()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt-get or dpkg is not here" in fault()
