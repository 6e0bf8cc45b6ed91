"""Deterministic networks, the projection and resizing on a GPU; no operation mixes devices."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from baselines.bicubic import Bicubic
from baselines.esrgan import Discriminator
from baselines.rrdb import RRDBConfig, RRDBNet
from srbench.images.lr_projection import make_consistent, upscale_consistently
from srbench.images.resize import downscale, downscale_uint8, upscale_uint8
from srbench.images.resize import upscale as resized_up
from srbench.images.tiling import upscale_in_tiles
from srbench.models.inference import SamplingParameters, upscale
from srbench.models.wrapped import Consistent

CONFIGS = {"x4": RRDBConfig(4, 8, 4, 1), "x8": RRDBConfig(8, 8, 4, 2, "trunk")}
"""Sizes of RRDB networks, which ESRGAN's generators are too."""

MIXTURES = {
    "add": lambda here, there: there.add(here),
    "add_": lambda here, there: there.add_(here),
    "matmul": lambda here, there: there @ here,
    "cat": lambda here, there: torch.cat([here, there]),
    "where": lambda here, there: torch.where(there > 0, there, here),
    "index": lambda here, there: there[here.argmax(-1)],
    "convolve": lambda here, there: F.conv2d(there[None, None], here[None, None]),
    "normalise": lambda here, there: F.batch_norm(there, here[0], here[1]),
    "step": lambda here, there: torch._fused_adam_(
        [here],
        [there],
        [here],
        [here],
        [],
        [here[0, 0]],
        lr=1e-3,
        beta1=0.9,
        beta2=0.9,
        weight_decay=0.0,
        eps=1e-8,
        amsgrad=False,
        maximize=False,
    ),
    "numpy": lambda here, there: there.numpy(),
}


@pytest.mark.parametrize("name", MIXTURES)
def test_devices_do_not_mix(name, gpu):
    here, there = torch.rand(4, 4), torch.rand(4, 4, device=gpu.device)
    with pytest.raises(RuntimeError, match=r"same device|numpy"):
        MIXTURES[name](here, there)


def test_copies_and_single_numbers_cross(gpu):
    there = torch.rand(4, 4, device=gpu.device)
    assert gpu.holds(there.cpu().to(there), there.clone().copy_(torch.rand(4, 4)), there * torch.rand(()))
    assert there.cpu().device.type == "cpu"


@pytest.fixture(params=CONFIGS)
def network(request, gpu):
    return RRDBNet(CONFIGS[request.param]).to(gpu.device).eval()


def test_network(network, gpu):
    lr, _ = gpu.pair(network.scale, 2)
    for model in (network, Consistent(network, network.scale), Bicubic(network.scale)):
        for gradients in (True, False):
            with torch.set_grad_enabled(gradients):
                assert gpu.holds(model(lr), upscale_in_tiles(model, lr[0], 4))


@pytest.mark.parametrize("tile", [None, 4])
def test_run(tile, network, gpu):
    """LR comes from the CPU, and outputs return to the CPU."""
    for model in (network, Consistent(network, network.scale), Bicubic(network.scale)):
        found = upscale(model, "a", torch.rand(3, 6, 5), SamplingParameters(0.8, 2, 0, tile), gpu.device.type)
        assert (found.images.device.type, found.images.dtype) == ("cpu", torch.float32)


@pytest.mark.parametrize("tile", [None, 4])
def test_outputs_may_come_back_on_the_cpu(tile, gpu):
    """As those of ONNX files do."""

    def on_cpu(lr):
        return resized_up(lr.cpu(), 4)

    found = upscale(
        Consistent(on_cpu, 4), "a", torch.rand(3, 6, 5), SamplingParameters(0.8, 2, 0, tile), gpu.device.type
    )
    assert found.images.shape == (1, 3, 24, 20)


def test_every_parameter_left_behind_is_found(network, gpu, left_behind):
    lr, _ = gpu.pair(network.scale, 1)
    for name, _ in network.named_parameters():
        with left_behind(network, name) as broken, pytest.raises(RuntimeError, match="same device"):
            broken(lr)


def test_every_buffer_left_behind_is_found(gpu, left_behind):
    discriminator, (hr, _) = Discriminator(32, 2), gpu.pair(1, 2, height=32, width=32)
    assert gpu.holds(discriminator.to(gpu.device)(hr))
    for name, buffer in discriminator.named_buffers():
        if buffer.dim():
            with left_behind(discriminator, name) as broken, pytest.raises(RuntimeError, match="same device"):
                broken(hr)


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_projection(scale, dtype, gpu):
    for lr, hr in (gpu.pair(scale, 2), gpu.pair(scale), gpu.pair(scale, height=1, width=260)):
        lr, hr = lr.to(dtype), hr.to(dtype)
        assert gpu.holds(upscale_consistently(lr, scale), make_consistent(hr, lr, scale))
        with pytest.raises(RuntimeError, match="same device"):
            make_consistent(hr, lr.cpu(), scale)


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_gradients_of_the_projection(scale, gpu, backward):
    lr, hr = (images.requires_grad_() for images in gpu.pair(scale, 2))
    (upscale_consistently(lr, scale).sum() + make_consistent(hr, lr, scale).sum()).backward()
    assert gpu.holds(lr.grad, hr.grad)


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_resizing(scale, gpu):
    lr, hr = gpu.pair(scale, 2)
    assert gpu.holds(downscale(hr, scale), resized_up(lr, scale), resized_up(lr[..., :1], scale))
    lr, hr = (images.mul(255).to(torch.uint8) for images in (lr, hr))
    assert gpu.holds(downscale_uint8(hr, scale), upscale_uint8(lr, scale))
