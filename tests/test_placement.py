"""Everything stays on the device it is given: whole programs on an imaginary GPU, which refuses to mix devices.

torch's FakeTensorMode runs every operation on shapes and devices alone, with torch's own checks of both. It takes
PyTorch's build for CUDA and no GPU. There are no numbers: whatever asks for some is told that all is well.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import get_gradient_edge

import baselines.train
import srbench.consistent
import srflow.train
from baselines.bicubic import Bicubic
from baselines.rrdb import RRDBConfig
from baselines.zoo import load_esrgan, load_rrdb
from srbench.consistent import Consistent, ConsistentSamples, enlarge_consistently, make_consistent
from srbench.inference import Draw, upscale
from srbench.metrics import lpips, lr_psnr, parameters, perceptual, psnr, ssim
from srbench.registry import load_metric
from srbench.resize import downscale, downscale_uint8, upscale_uint8
from srbench.resize import upscale as enlarge
from srbench.tiles import enlarge_in_tiles
from srbench.training.averages import Average
from srbench.training.breakdown import Breakdowns
from srbench.training.loop import Training
from srbench.training.validation import enlarged
from srbench.types import Box, ImagePair, TrainingRequest
from srbench.weights import pretrained
from srflow import SRFlow
from srflow.config import SRFlowConfig
from srflow.latents import interpolate, mix_levels
from srflow.zoo import load_srflow

pytestmark = [
    pytest.mark.placement,
    pytest.mark.skipif(torch.version.cuda is None, reason="needs PyTorch's build for CUDA, and no GPU"),
    pytest.mark.skipif(
        not hasattr(torch._C, "_ensureCUDADeviceGuardSet"), reason="this PyTorch imagines a GPU only where there is one"
    ),
]


def run_backward(outputs, grads, keep, create, inputs, *unused, accumulate_grad, **others):
    """What torch's engine does, which asks a driver for its streams. Every gradient lies where its tensor does."""
    arrived = defaultdict(dict)
    roots = [get_gradient_edge(output)[:2] for output in outputs]
    for (node, place), output, grad in zip(roots, outputs, grads, strict=True):
        add(arrived[node], place, torch.ones_like(output) if grad is None else grad)
    wanted = [get_gradient_edge(given)[:2] for given in inputs]
    found = {}
    with torch.no_grad():
        for node in from_the_end({node for node, _ in roots}):
            received = arrived.pop(node, {})
            for place, grad in received.items():
                assert grad.device == node._input_metadata[place].device, node.name()
            found |= {(node, place): grad for place, grad in received.items()}
            if received and (accumulate_grad or not hasattr(node, "variable")):
                for (following, place), grad in propagated(node, received):
                    like = following._input_metadata[place]
                    add(arrived[following], place, grad.sum_to_size(like.shape).to(like.dtype))
    return tuple(found.get(edge) for edge in wanted)


def add(arrived, place, grad):
    arrived[place] = arrived[place] + grad if place in arrived else grad


def from_the_end(roots):
    """All nodes, each before those that its gradients go to."""
    order, begun, waiting = [], set(), [(root, False) for root in roots]
    while waiting:
        node, done = waiting.pop()
        if done:
            order.append(node)
        elif node not in begun:
            begun.add(node)
            waiting.append((node, True))
            waiting += [(following, False) for following, _ in node.next_functions if following is not None]
    return order[::-1]


def propagated(node, received):
    """Pairs of where a gradient goes and the gradient."""
    grads = [received.get(place) for place in range(len(node._input_metadata))]
    edges = node.next_functions
    if isinstance(node, BackwardCFunction):
        known = zip(grads, node._input_metadata, strict=True)
        grads = [torch.zeros(like.shape, dtype=like.dtype, device=like.device) if g is None else g for g, like in known]
        results = [grad for grad, need in zip(node.apply(*grads), node.needs_input_grad, strict=True) if need]
        edges = [edge for edge in edges if edge[0] is not None]
    else:
        results = node(*grads)
        results = results if isinstance(results, tuple) else (results,)
    return [(edge, g) for edge, g in zip(edges, results) if edge[0] is not None and g is not None]  # noqa: B905


def same(this, that):
    assert this.device == that.device
    return True


def as_array(tensor):
    """Any picture, of a tensor that numpy could read."""
    assert tensor.device.type == "cpu", "a GPU's memory cannot be read by numpy"
    numbers = np.random.default_rng(0).random(tuple(tensor.shape))
    return (255 * numbers).astype(np.uint8) if tensor.dtype == torch.uint8 else numbers.astype(np.float32)


def applied(module, function, recurse=True):
    """What ``Module.to`` does, without exchanging the parameters' memory."""
    for child in module.children():
        child._apply(function)
    with torch.no_grad():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = torch.nn.Parameter(function(parameter), parameter.requires_grad)
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else function(buffer)
    return module


def reading(function, mode=None):
    """A function that reads files, and gives their numbers; in a mode, their shapes."""

    def call(*arguments):
        with unset_fake_temporarily():
            read = function(*arguments)
        return read if mode is None else {name: mode.from_tensor(tensor) for name, tensor in read.items()}

    return call


ENGINE = torch.autograd._engine_run_backward
KEPT = (srbench.consistent._gain, srbench.consistent._spread, perceptual._network, parameters.packaged)


@pytest.fixture(autouse=True)
def imaginary(monkeypatch):
    """A device cuda without numbers, and nothing kept of it."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    for name, answer in {"__bool__": True, "__float__": 1.0, "__int__": 0, "data_ptr": 0}.items():
        monkeypatch.setattr(FakeTensor, name, lambda tensor, answer=answer: answer, raising=False)
    monkeypatch.setattr(FakeTensor, "tolist", lambda tensor: [1] * tensor.numel(), raising=False)
    monkeypatch.setattr(FakeTensor, "numpy", as_array, raising=False)
    monkeypatch.setattr(torch, "equal", same)
    monkeypatch.setattr(torch.autograd, "_engine_run_backward", run_backward)
    monkeypatch.setattr(torch.nn.Module, "_apply", applied)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 0)
    monkeypatch.setattr(pretrained, "load_weights", reading(pretrained.load_weights))
    monkeypatch.setattr(parameters, "load_file", reading(parameters.load_file, mode))
    for name in ("_MEAN", "_SCALE"):
        monkeypatch.setattr(perceptual, name, mode.from_tensor(getattr(perceptual, name)))
    for function in KEPT:
        function.cache_clear()
    with mode:
        yield
    for function in KEPT:
        function.cache_clear()


def generator():
    return torch.Generator().manual_seed(0)


def pair(scale, *batch, height=10, width=9, device="cuda"):
    """LR and HR."""
    return tuple(torch.rand(*batch, 3, height * size, width * size, device=device) for size in (1, scale))


def on_gpu(*results):
    tensors = [tensor for result in results for tensor in (result if isinstance(result, list | tuple) else [result])]
    return bool(tensors) and {tensor.device.type for tensor in tensors} == {"cuda"}


def plain_flow():
    """As the released networks: nothing is made consistent, the encoder's long skip begins at its trunk."""
    return SRFlow(replace(SRFlowConfig.from_preset("celeba-x8"), steps=2)).eval()


FLOWS = {"x4": lambda: load_srflow(4), "x8": lambda: load_srflow(8), "plain": plain_flow}
NETWORKS = {
    f"{name}-x{scale}": lambda load=load, scale=scale: load(scale)
    for name, load in {"rrdb": load_rrdb, "esrgan": load_esrgan}.items()
    for scale in (4, 8)
}


@pytest.fixture(params=FLOWS)
def flow(request):
    return FLOWS[request.param]().to("cuda")


def test_devices_are_not_mixed():
    here, there = torch.rand(3), torch.rand(3, device="cuda")
    for wrong in (lambda: here + there, lambda: there @ here, lambda: torch.cat([here, there])):
        with pytest.raises(RuntimeError, match="device"):
            wrong()
    with pytest.raises(AssertionError, match="numpy"):
        there.numpy()


def test_samples(flow):
    lr, _ = pair(flow.scale)
    for temperature in (0.0, 0.8):
        assert on_gpu(flow.sample(lr, 2, temperature=temperature, generator=generator()))
    assert on_gpu(flow.sample_in_tiles(lr, 2, temperature=0.8, generator=generator(), tile=8))


def test_samples_of_a_large_picture(flow):
    lr = torch.rand(3, 65 if flow.scale == 4 else 33, 65, device="cuda")
    assert not flow._is_small(lr)
    assert on_gpu(flow.sample(lr, 2, temperature=0.8, generator=generator()))


def test_both_directions(flow):
    lr, hr = pair(flow.scale, 2)
    for _ in range(2):  # the second time with what was kept from the first
        with torch.no_grad():
            latents, log_det = flow.encode(hr, lr)
            assert on_gpu(latents, log_det, flow.decode(latents, lr), flow.nll(hr, lr), flow.log_prob(hr, lr))
    latents, _ = flow.encode(hr, lr)
    mixed = mix_levels(interpolate(latents, latents, 0.5), latents, 1)
    assert on_gpu(flow.decode(mixed, lr), flow.nll(hr, lr))


def test_edits(flow):
    (lr, hr), grid = pair(flow.scale), flow.edit_grid
    settings = {"temperature": 0.8, "generator": generator()}
    mask = torch.ones(hr.shape[-2:], device="cuda")
    assert on_gpu(flow.restore(hr, lr, **settings), flow.transfer_content(hr, lr, hr, mask, **settings))
    source, target = Box(0, 0, grid, grid), Box(grid, grid, 2 * grid, grid)
    assert on_gpu(flow.transfer_style(hr, lr, source, target, temperature=0.8))


def test_gradients_are_those_of_the_engine():
    """Of real numbers, by ``run_backward`` and by torch."""
    with unset_fake_temporarily():
        flow = SRFlow(SRFlowConfig(RRDBConfig(4, 8, 4, 1), stacked=(0,), steps=1, width=8))
        lr, hr = pair(4, 2, height=4, width=4, device="cpu")
        flow.initialize(hr, lr)
        gradients = []
        for reversible, backward in ((False, ENGINE), (False, run_backward), (True, run_backward)):
            torch.autograd._engine_run_backward, flow.reversible = backward, reversible
            flow.zero_grad()
            flow(hr, lr).mean().backward()
            gradients.append([parameter.grad for parameter in flow.parameters()])
        engine, *walked = gradients
        for each in walked:
            torch.testing.assert_close(each, engine, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("reversible", [False, True], ids=["stored", "reversible"])
def test_flow_learns(flow, reversible):
    lr, hr = pair(flow.scale, 2, width=8)
    flow.train().initialize(hr, lr)
    flow.reversible = reversible
    loss = flow(hr, lr)
    loss.mean().backward()
    assert on_gpu(loss, [parameter.grad for parameter in flow.parameters()])


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name):
    network = NETWORKS[name]().to("cuda")
    lr, _ = pair(network.scale, 2)
    for model in (network, Consistent(network), Bicubic(network.scale)):
        assert on_gpu(model(lr))
        with torch.no_grad():
            assert on_gpu(model(lr), enlarge_in_tiles(model, lr[0], 8))


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_projection(scale, dtype):
    for lr, hr in (pair(scale, 2), pair(scale), pair(scale, height=1, width=260)):
        lr, hr = lr.to(dtype).requires_grad_(), hr.to(dtype).requires_grad_()
        larger, fitting = enlarge_consistently(lr, scale), make_consistent(hr, lr, scale)
        (larger.sum() + fitting.sum()).backward()
        assert on_gpu(larger, fitting, lr.grad, hr.grad)


def test_projected_samples():
    flow = plain_flow().to("cuda")
    lr, _ = pair(flow.scale)
    assert on_gpu(ConsistentSamples(flow).sample(lr, 2, temperature=0.8, generator=generator()))


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_resizing(scale):
    lr, hr = pair(scale, 2)
    assert on_gpu(downscale(hr, scale), enlarge(lr, scale), enlarge(lr[..., :1], scale))
    lr, hr = (pictures.mul(255).to(torch.uint8) for pictures in (lr, hr))
    assert on_gpu(downscale_uint8(hr, scale), upscale_uint8(lr, scale))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the statistics of arbitrary numbers
@pytest.mark.parametrize("name", ["psnr", "ssim", "lpips", "lr_psnr", "niqe", "brisque", "pique", "sigma"])
def test_metrics(name):
    """Of samples on a GPU, whatever their HR picture lies on; the values come to the CPU."""
    for device in ("cuda", "cpu"):
        lr, hr = pair(4, height=50, width=48, device=device)
        samples = torch.rand(2, *hr.shape, device="cuda")
        metric = load_metric(name)
        for _ in range(2):
            assert metric(samples, ImagePair("a", lr, hr)).device.type == "cpu"


def test_metric_functions():
    lr, hr = (picture.mul(255).to(torch.uint8) for picture in pair(4, 2, height=50, width=48))
    for references in (hr, hr[0], hr.cpu(), hr[0].cpu()):
        for metric in (psnr, ssim, lpips):
            assert metric(hr, references).device.type == "cpu"
    for references in (lr, lr[0], lr.cpu()):
        assert lr_psnr(hr, references).device.type == "cpu"


@pytest.mark.parametrize("tile", [None, 16])
@pytest.mark.parametrize("name", [*FLOWS, *NETWORKS])
def test_runs(name, tile):
    """A picture comes from the CPU, and goes back there."""
    model = (FLOWS | NETWORKS)[name]().to("cuda")
    lr, _ = pair(model.scale, height=40, device="cpu")
    for wrapped in (model, Bicubic(model.scale)) + (() if name in FLOWS else (Consistent(model),)):
        found = upscale(wrapped, "a", lr, Draw(0.8, 2, 0, tile), "cuda").images
        assert (found.device.type, found.dtype) == ("cpu", torch.float32)


class OneStep(Training):
    """A training of one step on a GPU, of patches that no picture gave."""

    def __init__(self, model, scale, preset, request):
        self.config, self.device, self._scale = preset.training, torch.device("cuda"), scale
        self._accelerator = SimpleNamespace(
            num_processes=1,
            backward=lambda loss: loss.backward(),
            clip_grad_norm_=torch.nn.utils.clip_grad_norm_,
        )

    def first_batch(self):
        side = self.config.patch // self._scale
        return self._on_device(
            *pair(self._scale, self.config.batch, height=side, width=side, device="cpu"), step=0, first=0
        )

    def fit(self, learners, start="", before_step=lambda step: None):
        average = Average(learners[0].network, 0.9)
        before_step(0)
        losses, _ = self._take_step(self.first_batch(), learners, Breakdowns())
        average.update()
        lr, hr = pair(self._scale, device="cpu")
        assert enlarged(average.network, ImagePair("a", lr, hr), 0.8, self.device).device.type == "cpu"
        assert losses
        return learners


TRAINERS = {
    "rrdb": (baselines.train.train_rrdb, "mini-x4", ()),
    "esrgan": (
        baselines.train.train_esrgan,
        "mini-x4",
        ("losses.perceptual_layer=conv1_1", "losses.discriminator_width=2"),
    ),
    "srflow": (srflow.train.train_srflow, "mini-x8", ("network.steps=2", "frozen=0")),
    "reversible": (srflow.train.train_srflow, "mini-x4", ("network.steps=2", "frozen=0", "reversible=true")),
}


@pytest.mark.parametrize("name", TRAINERS)
def test_training(name, tmp_path, monkeypatch):
    """Of each trainer its own losses and optimisers, and the step of the loop."""
    for module in (baselines.train, srflow.train):
        monkeypatch.setattr(module, "Training", OneStep)
    vgg = {"conv1_1.weight": torch.rand(8, 3, 3, 3), "conv1_1.bias": torch.zeros(8)}
    monkeypatch.setattr(baselines.train, "load_vgg", lambda network: vgg)
    train, preset, changes = TRAINERS[name]
    changes = ("training.patch=32", "training.batch=4", "training.accumulate=2", *changes)
    for learner in train(TrainingRequest(preset, (tmp_path,), tmp_path, changes, device="cuda")):
        assert on_gpu(learner.parameters())
        for state in learner.optimizer.state.values():
            assert on_gpu([*state.values()])
            assert {"exp_avg", "exp_avg_sq", "step"} == state.keys()
        assert learner.optimizer.state
