"""From published images and landmarks to faces: small files of the same shape, and what goes wrong with them."""

from __future__ import annotations

import shutil
import zipfile

import celeba
import cv2
import numpy as np
import pytest
import torch

from srbench.images.io import read_uint8, write_png
from srbench.images.resize import downscale_uint8


def smooth_image(height, width, seed=0):
    small = torch.rand(1, 3, height // 16 + 2, width // 16 + 2, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(small, (height, width), mode="bicubic")[0]
    return smooth.clamp(0, 1).mul(255).byte()


def write_zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


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


def test_celeba(faces):
    """Faces come out upright, 160x160, in their splits; what is there already stays."""
    out = faces / "out"
    celeba.make_celeba(faces, out)
    for split, number in (("train", 1), ("val", 162771), ("test", 202599)):
        assert [path.name for path in (out / split).iterdir()] == [f"{number:06}.png"]
        made = read_uint8(out / split / f"{number:06}.png").double()
        expected = downscale_uint8(smooth_image(640, 640, number), 4).double()
        assert made.shape == (3, 160, 160)
        inside = (made - expected)[:, 8:-8, 8:-8]
        assert inside.square().mean().sqrt() < 1.5, "grey levels; JPEG and two interpolations apart"
    (out / "val" / "162771.png").write_text("made before")
    celeba.make_celeba(faces, out)
    assert (out / "val" / "162771.png").read_text() == "made before"


def test_celeba_that_is_incomplete(faces):
    def fault():
        with pytest.raises(SystemExit) as caught:
            celeba.make_celeba(faces, faces / "out")
        return str(caught.value)

    (faces / "img_celeba" / "162771.jpg").write_text("text")
    assert "162771.jpg: not an image" in fault()
    (faces / "img_celeba" / "162771.jpg").unlink()
    assert "lacks 1 of 3 images, first 162771.jpg; unpack it again" in fault()
    write_zip(faces / "annotations.zip", {"landmark.txt": "000001.jpg 1 2 3", "standard_landmark_68pts.txt": "0 0"})
    assert "annotations.zip: not the expected file" in fault()
    (faces / "annotations.zip").unlink()
    assert "annotations.zip: no such file; download it from the links of https://github.com/LynnHo" in fault()
    shutil.rmtree(faces / "img_celeba")
    assert "get img_celeba.7z from http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html" in fault()
