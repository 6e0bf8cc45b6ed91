"""SRFlow on a GPU. Only PROGRAMS calls its interface."""

from __future__ import annotations

import pytest
import torch

from baselines.rrdb import RRDBConfig
from srbench.images.box import Box
from srbench.models.inference import SamplingParameters, upscale
from srbench.models.wrapped import Consistent
from srflow import SRFlow, SRFlowConfig

SMALL = {"steps": 1, "width": 8}
CONFIGS = {
    "x4": SRFlowConfig(RRDBConfig(4, 8, 4, 1), (0,), log_deviation_bound=3.0, consistency="residual", **SMALL),
    "x8": SRFlowConfig(
        RRDBConfig(8, 8, 4, 2, "trunk"), (0, 1), transitions=1, relative_temperatures=(0.7, 1.0, 1.0), **SMALL
    ),
}


def both_directions(flow, lr, hr, generator):
    latents, log_det = flow.given(lr[None]).encode(hr[None])
    return latents, log_det, flow.given(lr[None]).decode(latents)


def style(flow, lr, hr, generator):
    grid = flow.edit_grid
    return flow.transfer_style(hr, lr, Box(0, 0, grid, grid), Box(grid, grid, 2 * grid, grid), temperature=0.8)


def content(flow, lr, hr, generator):
    mask = torch.ones(hr.shape[-2:], device=hr.device)
    return flow.transfer_content(hr, lr, hr, mask, temperature=0.8, generator=generator)


def initialized(flow, lr, hr, generator):
    flow.initialize(lr[None], hr[None])
    return [*flow.parameters()]


PROGRAMS = {
    "sample": lambda flow, lr, hr, generator: flow.sample(lr, 2, temperature=0.8, generator=generator),
    "tiles": lambda flow, lr, hr, generator: flow.sample(lr, 2, temperature=0.8, generator=generator, tile=4),
    "batch": lambda flow, lr, hr, generator: flow.given(lr[None]).sample(2, temperature=0.8, generator=generator),
    "consistent": lambda flow, lr, hr, generator: Consistent(flow, flow.scale).sample(
        lr, 2, temperature=0.8, generator=generator
    ),
    "both directions": both_directions,
    "log_prob": lambda flow, lr, hr, generator: flow.given(lr[None]).log_prob(hr[None]),
    "nll": lambda flow, lr, hr, generator: flow.given(lr[None]).nll(hr[None]),
    "initialize": initialized,
    "restore": lambda flow, lr, hr, generator: flow.restore(hr, lr, temperature=0.8, generator=generator),
    "style": style,
    "content": content,
}
"""Functions of a network, an LR image (3, h, w), its HR image and a generator on the CPU; they return results."""


@pytest.fixture(scope="module", params=CONFIGS)
def flow(request, imagination):
    with imagination:
        return SRFlow(CONFIGS[request.param]).to(request.config.getoption("--device")).eval()


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name, flow, gpu, generator):
    lr, hr = gpu.pair(flow.scale)
    for gradients in (True, False):
        with torch.set_grad_enabled(gradients):
            assert gpu.holds(PROGRAMS[name](flow, lr, hr, generator))


def test_decoding_waits_for_nothing_but_its_end(flow, gpu, generator):
    """A sample waits only for the check that it is finite, once the constants of the network are cached."""
    lr, hr = gpu.pair(flow.scale)
    given = flow.given(lr[None])
    latents, _ = given.encode(hr[None])
    given.decode(latents)
    with gpu.waits() as waits, torch.no_grad():
        flow.flow.decode(latents, given._conditions)
        assert waits == []
        given.decode(latents)
        assert len(waits) == 1
        flow.sample(lr, 2, temperature=0.8, generator=generator)
        assert len(waits) == 2


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


@pytest.mark.parametrize("reversible", [False, True], ids=["stored", "reversible"])
def test_learns(reversible, flow, gpu, backward):
    learner = SRFlow(flow.config).to(gpu.device)
    learner.reversible = reversible
    lr, hr = gpu.pair(flow.scale, 2)
    loss = learner.nll(lr, hr)
    loss.mean().backward()
    assert gpu.holds(loss, [parameter.grad for parameter in learner.parameters()])


@pytest.mark.parametrize("tile", [None, 4])
def test_run(tile, flow, gpu):
    """LR comes from the CPU, and outputs return to the CPU."""
    found = upscale(flow, "a", torch.rand(3, 6, 5), SamplingParameters(0.8, 2, 0, tile), gpu.device.type)
    assert (found.images.device.type, found.images.dtype) == ("cpu", torch.float32)


def test_a_parameter_left_behind_is_found(flow, gpu, generator, left_behind):
    """A parameter or buffer of every kind of layer."""
    lr, hr = gpu.pair(flow.scale)
    kinds = {tuple(name.split(".")[-2:]): name for name, _ in flow.named_parameters()}
    for name in kinds.values():
        with left_behind(flow, name) as broken, pytest.raises(RuntimeError, match="same device"):
            PROGRAMS["sample"](broken, lr, hr, generator)


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_image_left_behind_is_found(name, flow, gpu, generator):
    lr, hr = gpu.pair(flow.scale)
    with pytest.raises(RuntimeError, match="same device"):
        PROGRAMS[name](flow, lr.cpu(), hr, generator)
