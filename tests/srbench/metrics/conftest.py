"""Images the metrics are tested on: scikit-image's own photographs, and bicubic results made from them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import skimage.data
import torch
from imresize import imresize

from srbench.images import resize
from srbench.interfaces import ImagePair
from srbench.metrics.parameters import packaged

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "metrics.json").read_text())


def as_image(array) -> torch.Tensor:
    """(h, w, 3) uint8 array -> (3, h, w) uint8."""
    return torch.from_numpy(array.copy()).permute(2, 0, 1).contiguous()


def as_pair(name: str, hr: torch.Tensor, scale: int) -> ImagePair:
    """(3, H, W) uint8 -> pair with the LR image that MATLAB would make of it."""
    lr = resize.downscale_uint8(hr, scale)
    return ImagePair(name, lr.to(torch.float32) / 255, hr.to(torch.float32) / 255)


def bicubic(pair: ImagePair) -> torch.Tensor:
    """The LR image upscaled as MATLAB does, uint8 -> (1, 3, H, W) float."""
    scale = pair.hr.shape[-1] // pair.lr.shape[-1]
    lr = (pair.lr * 255).round().to(torch.uint8)
    return resize.upscale_uint8(lr, scale).to(torch.float32)[None] / 255


def golden_image(key: str) -> torch.Tensor:
    if key.startswith("coffee"):
        return as_image(skimage.data.coffee()[:400, :600])
    whole = skimage.data.astronaut()
    return as_image(whole if key.startswith("astronaut512") else whole[:160, 150:310])


@pytest.fixture(scope="session", params=GOLDEN)
def golden(request):
    """(pair, bicubic result, values of the independent first implementation) of one golden case.

    LR and result are those of the Python port of MATLAB's imresize, from which the values were computed.
    """
    key = request.param
    hr, scale = golden_image(key), int(key[-1])
    height, width = hr.shape[-2:]
    lr = imresize(hr, height // scale, width // scale, halves="even")
    output = imresize(lr, height, width, halves="even")
    for name, image in {"lr": lr, "sr": output}.items():
        content = image.permute(1, 2, 0).contiguous().numpy().tobytes()
        assert hashlib.sha1(content).hexdigest()[:12] == GOLDEN[key][f"sha1_{name}"], name
    return ImagePair(key, lr / 255, hr / 255), output[None] / 255, GOLDEN[key]


@pytest.fixture(scope="session")
def coffee():
    """A pair without a window of one colour, 4x, 192 x 288: two by three blocks of 96."""
    return as_pair("coffee", as_image(skimage.data.coffee()[100:292, 200:488]), 4)


@pytest.fixture(scope="session")
def samples(coffee):
    """(3, 3, 192, 288): three noisy versions of the bicubic result, outside [0, 1] here and there."""
    generator = torch.Generator().manual_seed(7)
    noise = torch.randn(3, 3, 192, 288, generator=generator)
    return bicubic(coffee) + noise * torch.tensor([0.01, 0.05, 0.2]).view(3, 1, 1, 1)


@pytest.fixture(scope="session")
def lpips_package():
    """The lpips package's own network with the packaged convolutions; its heads come with it."""
    import lpips

    network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    convolutions = packaged("alex_features_fp32")
    names = {name: "features." + name.split(".", 1)[1] for name in network.net.state_dict()}
    assert sorted(names.values()) == sorted(convolutions)
    network.net.load_state_dict({name: convolutions[key] for name, key in names.items()})
    return network
