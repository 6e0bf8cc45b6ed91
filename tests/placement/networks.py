"""RRDB, SRFlow, the projection and resizing on a GPU; no operation mixes devices."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from baselines.bicubic import Bicubic
from baselines.esrgan import Discriminator
from baselines.rrdb import RRDBConfig, RRDBNet
from srbench.images.box import Box
from srbench.images.lr_projection import make_consistent, upscale_consistently
from srbench.images.resize import downscale, downscale_uint8, upscale_uint8
from srbench.images.resize import upscale as resized_up
from srbench.images.tiling import upscale_in_tiles
from srbench.models.inference import SamplingParameters, upscale
from srbench.models.wrapped import Consistent
from srflow import SRFlow, SRFlowConfig

ADAM = {"weight_decay": 0.0, "eps": 1e-8, "amsgrad": False, "maximize": False}
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
        *[[here], [there], [here], [here], [], [here[0, 0]]], lr=1e-3, beta1=0.9, beta2=0.9, **ADAM
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
    assert not gpu.holds(there, torch.rand(4))


def test_waits_are_seen(gpu):
    there = torch.rand(4, 4, device=gpu.device)
    for wait in (
        lambda: float(there.sum()),
        lambda: bool(there.isfinite().all()),
        lambda: torch.equal(there, there),
        lambda: there.cpu(),
        lambda: torch.rand(4, 4).copy_(there),
        lambda: torch.linalg.inv(there),
    ):
        with gpu.waits() as waits:
            wait()
        assert len(waits) == 1
    with gpu.waits() as waits:
        there.add_(torch.rand(4, 4).to(gpu.device)).clone().copy_(torch.rand(4, 4))
        float(torch.rand(()))
    assert waits == []


RRDBS = {"x4": RRDBConfig(4, 8, 4, 1), "x8": RRDBConfig(8, 8, 4, 2, "trunk")}
"""Sizes of RRDB networks, which ESRGAN's generators are too."""
SMALL = {"steps": 1, "width": 8}
FLOWS = {
    "x4": SRFlowConfig(RRDBS["x4"], (0,), log_deviation_bound=3.0, consistency="residual", **SMALL),
    "x8": SRFlowConfig(RRDBS["x8"], (0, 1), transitions=1, relative_temperatures=(0.7, 1.0, 1.0), **SMALL),
}
SAMPLED = {"temperature": 0.8, "generator": torch.Generator().manual_seed(0)}
"""The generator is on the CPU, as in a run."""


@pytest.fixture(scope="module", params=RRDBS)
def networks(request, imagination):
    """RRDB and SRFlow of a scale."""
    device = request.config.getoption("--device")
    with imagination:
        made = RRDBNet(RRDBS[request.param]), SRFlow(FLOWS[request.param])
        return [network.to(device).eval() for network in made]


def run(model, tile, gpu):
    return upscale(model, "a", torch.rand(3, 6, 5), SamplingParameters(0.8, 2, 0, tile), gpu.device.type).images


@pytest.mark.parametrize("tile", [None, 4])
def test_run(tile, networks, gpu):
    """LR comes from the CPU, and outputs return to the CPU."""
    network, _ = networks
    for model in (*networks, Consistent(network, network.scale), Bicubic(network.scale)):
        images = run(model, tile, gpu)
        assert (images.device.type, images.dtype) == ("cpu", torch.float32)


@pytest.mark.parametrize("tile", [None, 4])
def test_outputs_may_come_back_on_the_cpu(tile, gpu):
    """As those of ONNX files do."""
    model = Consistent(lambda lr: resized_up(lr.cpu(), 4), 4)
    assert run(model, tile, gpu).shape == (1, 3, 24, 20)


@pytest.mark.parametrize("gradients", [False, True])
def test_deterministic(gradients, networks, gpu):
    network, _ = networks
    lr, _ = gpu.pair(network.scale, 2, height=32, width=32)
    with torch.set_grad_enabled(gradients):
        for model in (network, Consistent(network, network.scale), Bicubic(network.scale)):
            assert gpu.holds(model(lr), upscale_in_tiles(model, lr[0], 16))
        assert gpu.holds(Discriminator(32, 2).to(gpu.device)(lr))


def both_directions(flow, lr, hr):
    latents, log_det = flow.given(lr[None]).encode(hr[None])
    return latents, log_det, flow.given(lr[None]).decode(latents)


def style(flow, lr, hr):
    grid = flow.edit_grid
    return flow.transfer_style(hr, lr, Box(0, 0, grid, grid), Box(grid, grid, 2 * grid, grid), temperature=0.8)


def content(flow, lr, hr):
    mask = torch.ones(hr.shape[-2:], device=hr.device)
    return flow.transfer_content(hr, lr, hr, mask, **SAMPLED)


def initialized(flow, lr, hr):
    flow.initialize(lr[None], hr[None])
    return [*flow.parameters()]


PROGRAMS = {
    "sample": lambda flow, lr, hr: flow.sample(lr, 2, **SAMPLED),
    "tiles": lambda flow, lr, hr: flow.sample(lr, 2, **SAMPLED, tile=4),
    "batch": lambda flow, lr, hr: flow.given(lr[None]).sample(2, **SAMPLED),
    "consistent": lambda flow, lr, hr: Consistent(flow, flow.scale).sample(lr, 2, **SAMPLED),
    "both directions": both_directions,
    "log_prob": lambda flow, lr, hr: flow.given(lr[None]).log_prob(hr[None]),
    "nll": lambda flow, lr, hr: flow.given(lr[None]).bits_per_dimension(hr[None]),
    "initialize": initialized,
    "restore": lambda flow, lr, hr: flow.restore(hr, lr, **SAMPLED),
    "style": style,
    "content": content,
}
"""Functions of a network, an LR image (3, h, w) and its HR image; they return results."""


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name, networks, gpu):
    _, flow = networks
    lr, hr = gpu.pair(flow.scale)
    for gradients in (True, False):
        with torch.set_grad_enabled(gradients):
            assert gpu.holds(PROGRAMS[name](flow, lr, hr))


def test_decoding_waits_for_nothing_but_its_end(networks, gpu):
    """A sample waits only for the check that it is finite, once the constants of the network are cached."""
    _, flow = networks
    lr, hr = gpu.pair(flow.scale)
    given = flow.given(lr[None])
    latents, _ = given.encode(hr[None])
    given.decode(latents)
    with gpu.waits() as waits, torch.no_grad():
        flow.flow.decode(latents, given._conditions)
        assert waits == []
        given.decode(latents)
        assert len(waits) == 1
        flow.sample(lr, 2, **SAMPLED)
        assert len(waits) == 2


@pytest.mark.parametrize("reversible", [False, True], ids=["stored", "reversible"])
def test_learns(reversible, networks, gpu, backward):
    learner = SRFlow(networks[1].config).to(gpu.device)
    learner.reversible = reversible
    lr, hr = gpu.pair(learner.scale, 2)
    loss = learner.bits_per_dimension(lr, hr)
    loss.mean().backward()
    assert gpu.holds(loss, [parameter.grad for parameter in learner.parameters()])


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
