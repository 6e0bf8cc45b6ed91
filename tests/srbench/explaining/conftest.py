"""Six crops of packaged photographs, and bicubic outputs for them: names, outputs and HR as uint8 (H, W, 3)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srbench.data.datasets import packaged_photos
from srbench.images.io import crop_centre, quantize_round, write_png
from srbench.images.resize import downscale_uint8, upscale

SIZES = ((96, 128), (128, 96), (112, 112), (128, 128), (96, 96), (120, 104))


def bicubic(hr, shift=0):
    """Upscaled from LR, with channels of different contrast, as networks change colours."""
    lr = downscale_uint8(hr, 4).float() / 255
    output = upscale(lr, 4) * torch.tensor([1.02, 0.99, 0.96])[:, None, None] + 0.01
    return quantize_round(output.roll(shift, dims=-1))


@pytest.fixture(scope="session")
def pairs():
    """Outputs and HR (3, H, W) uint8 by name."""
    dataset = packaged_photos(4)
    found = {}
    for name, (height, width) in zip(list(dataset)[2:], SIZES, strict=False):
        hr = crop_centre((dataset.read(name).hr * 255).round().byte(), 128)[:, :height, :width]
        found[name] = bicubic(hr), hr
    return found


@pytest.fixture(scope="session")
def folders(pairs, tmp_path_factory):
    """The same in folders sr, hr and lr."""
    top = tmp_path_factory.mktemp("pairs")
    for name, (output, hr) in pairs.items():
        write_png(top / "sr" / f"{name}.png", output)
        write_png(top / "hr" / f"{name}.png", hr)
        write_png(top / "lr" / f"{name}.png", downscale_uint8(hr, 4))
    return top


@pytest.fixture(scope="session")
def arrays(pairs):
    """Outputs and HR as (H, W, 3) uint8, in order."""
    return [tuple(np.ascontiguousarray(each.permute(1, 2, 0).numpy()) for each in pair) for pair in pairs.values()]
