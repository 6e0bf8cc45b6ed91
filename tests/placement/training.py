"""A step of every training on a GPU: the trainer's losses and optimisers, and what the loop does between them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from baselines.rrdb import RRDBConfig, RRDBNet
from srbench.interfaces import ImagePair, TrainingRequest, WeightsInfo
from srbench.plugins.registry import find_plugin, load_metric
from srbench.training.breakdown import Breakdowns
from srbench.training.learner import moving_average
from srbench.training.loop import Training
from srbench.training.validation import Validation
from srflow import SRFlow

TRAINING = """
[training]
steps = 2
batch = 4
accumulate = 2
patch = 32
learning_rate = 2e-3
betas = [0.9, 0.99]
schedule = "step"
milestones = [0.5]
max_grad_norm = 10.0
average = 0.9
validate_every = 10
best = "psnr"
checkpoint_every = 5
seed = 0
"""
SIZE = "features = 8\ngrowth = 4\nblocks = 1\n"
FLOW = f"[network]\nstacked = [0]\nsteps = 1\nwidth = 8\n[network.encoder]\nscale = 2\n{SIZE}"
LOSSES = """
[losses]
pixel_weight = 1.0
perceptual_weight = 1.0
adversarial_weight = 0.1
perceptual_network = "vgg16"
perceptual_layer = "conv1_1"
discriminator_width = 2
discriminator_rate = 0.5
shift = 4
"""
SECOND = """
[losses]
nll_weight = 0.2
pixel_weight = 2.0
perceptual_weight = 0.1
texture_weight = 0.1
grid_weight = 1.0
spectrum_weight = 1.0
temperature = 0.8
perceptual_layer = "conv1_1"
perceptual_precision = "float32"
shift = 4
"""
PRESETS = {
    "rrdb": ("rrdb", f"[network]\nscale = 4\n{SIZE}"),
    "esrgan": ("esrgan", f"[network]\nscale = 4\n{SIZE}{LOSSES}"),
    "srflow": ("srflow", f"frozen = 0\n{FLOW}"),
    "srflow, reversible": ("srflow", f"frozen = 0\nreversible = true\n{FLOW}"),
    "srflow, second stage": ("srflow-perceptual", FLOW + SECOND),
}
"""Trainers and their presets, but for TRAINING. No RRDB weights of a scale of 2 are there to start from."""


def begin(self, model, scale, preset, request):
    """A training on a GPU, of patches that no image gave, and by one process."""
    self.config, self.device, self._scale = preset.training, torch.device(request.device), scale
    self._accelerator = SimpleNamespace(
        num_processes=1, backward=lambda loss: loss.backward(), clip_grad_norm_=torch.nn.utils.clip_grad_norm_
    )


def first_batch(self):
    shape, small = (self.config.batch, 3), self.config.patch // self._scale
    return self._on_device(
        torch.rand(*shape, small, small), torch.rand(*shape, *[self.config.patch] * 2), step=0, first=0
    )


def fit(self, learners, start="", before_step=lambda step: None):
    """One step, and the validation after it; the learners and the average."""
    average = moving_average(learners[0].network, self.config.average)
    before_step(0)
    losses, _ = self._take_step(self.first_batch(), learners, Breakdowns())
    assert losses
    average.update_parameters(learners[0].network)
    pair = ImagePair("a", torch.rand(3, 8, 8), torch.rand(3, 8 * self._scale, 8 * self._scale))
    validation = Validation([pair], [load_metric("psnr")])
    assert validation.measure(average.module, self.device)["psnr"] == 1
    assert validation.grid(average.module, self.device).device.type == "cpu"
    return learners, average.module


def first_stage(config, path):
    """The SRFlow network that the second stage goes on from."""
    network = SRFlow(config)
    network.weights = WeightsInfo("", "", "", 0, {})
    return network


def start(scale, weights):
    """The RRDB network that ESRGAN goes on from."""
    network = RRDBNet(RRDBConfig(scale, 8, 4, 1))
    network.weights = WeightsInfo("", "", "", 0, {})
    return network


@pytest.mark.filterwarnings("ignore:no RRDB weights")
@pytest.mark.parametrize("name", PRESETS)
def test_training(name, gpu, backward, tmp_path, monkeypatch):
    for method, replaced in {"__init__": begin, "first_batch": first_batch, "fit": fit}.items():
        monkeypatch.setattr(Training, method, replaced)
    monkeypatch.setattr("baselines.train.load_rrdb", start)
    vgg = {"conv1_1.weight": torch.rand(64, 3, 3, 3), "conv1_1.bias": torch.zeros(64)}
    monkeypatch.setattr("srflow.training.second_stage.trained", first_stage)
    for module in ("baselines.train", "srflow.training.second_stage"):
        monkeypatch.setattr(f"{module}.load_vgg", lambda network: vgg)
    monkeypatch.setattr("srflow.training.second_stage.channel_weights", lambda: [torch.rand(1, 64, 1, 1)])
    trainer, preset = PRESETS[name]
    path = tmp_path / "preset.toml"
    path.write_text(preset + TRAINING)
    train = find_plugin("trainers", trainer).factory
    learners, average = train(TrainingRequest(str(path), (tmp_path,), tmp_path, device=gpu.device.type))
    assert gpu.holds([*average.parameters()])
    for learner in learners:
        assert gpu.holds(learner.parameters(), [*learner.network.buffers()])
        assert len(learner.optimizer.state) == len(learner.parameters())
        for state in learner.optimizer.state.values():
            assert gpu.holds([*state.values()])
