"""Images with hard edges, and pixels of samples that scatter there."""

import sys

import pytest
import torch
from drawn_images import drawn, drawn_pair, main, scattered

from srbench.images.io import read_uint8


def test_images_depend_on_their_number_alone():
    images = torch.stack([drawn(number, 64) for number in range(6)])
    assert torch.equal(drawn(4, 64), images[4])
    assert len({image.numpy().tobytes() for image in images}) == 6
    assert all(image.flatten(1).float().std(1).max() > 20 for image in images), "each has edges"


def test_written_images_are_others_than_those_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["drawn_images.py", str(tmp_path), "2"])
    main()
    assert torch.equal(read_uint8(tmp_path / "drawn-1001.png"), drawn(1001, 384))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drawn-1000.png", "drawn-1001.png"]


@pytest.mark.parametrize("scale", [4, 8])
def test_scattered_pixels(scale):
    """None in HR, in HR moved by an LR pixel, or in its upscaling; all pixels of a patch of a foreign colour."""
    pair = drawn_pair(1, scale)
    moved = pair.hr.clone()
    moved[:, scale:, scale:] = pair.hr[:, :-scale, :-scale]
    repeated = pair.lr.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    assert scattered(torch.stack([pair.hr, moved, 0.9 * repeated]), pair.hr, scale).tolist() == [0, 0, 0]
    black = torch.zeros(3, 64, 64)
    black[:, :32] = 1  # white above black: no colour, so green is far from everything
    output = black.clone()
    output[:, 40:44, 10:20] = torch.tensor([0.0, 1, 0])[:, None, None]
    assert scattered(output[None], black, scale).item() == pytest.approx(40 / 64**2 * 1e4)
