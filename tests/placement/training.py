"""A step of every training on a GPU: the trainer's losses and optimisers, and what the loop does between them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from small_presets import PRESETS

from srbench.interfaces import ImagePair
from srbench.metrics.loading import load_metric
from srbench.plugins.registry import find_plugin
from srbench.training.learner import moving_average
from srbench.training.loop import Training
from srbench.training.request import TrainingRequest
from srbench.training.start import Start
from srbench.training.step import TrainingState, take_step
from srbench.training.validation import Validation

STEP = ("training.steps=2", "training.batch=4", "training.grad_accumulation=2", "training.ema_decay=0.9")
FLOW = ("network.encoder.scale=2", "encoder_freeze=0.0")
TRAININGS = {
    "rrdb": ("rrdb", ()),
    "esrgan": ("esrgan", ()),
    "rectified-flow": ("rectified-flow", ("network.rrdb.scale=2",)),
    "srflow": ("srflow", FLOW),
    "srflow, reversible": ("srflow", (*FLOW, "reversible=true")),
    "srflow, second stage": ("srflow-perceptual", ()),
}
"""Trainers and changes to their small presets. No RRDB weights of a scale of 2 are there to start from."""


def begin(self, model, scale, preset, request, **validation):
    """A training on a GPU, of patches that no image gave, and by one process."""
    self.config, self.device, self._scale = preset.training, torch.device(request.device), scale
    self._accelerator = SimpleNamespace(
        num_processes=1, backward=lambda loss: loss.backward(), clip_grad_norm_=torch.nn.utils.clip_grad_norm_
    )


def first_batch(self):
    shape, small = (self.config.batch, 3), self.config.patch // self._scale
    return self._on_device(0, 0, torch.rand(*shape, small, small), torch.rand(*shape, *[self.config.patch] * 2))


def fit(self, learners, start, before_step=lambda step: None):
    """One step, and the validation after it; the learners and the average."""
    average = moving_average(learners[0].network, self.config.ema_decay)
    before_step(0)
    batch = self.first_batch()
    with self.gpu.waits() as waits:
        losses, _ = take_step(batch, TrainingState(learners, average), self.config, self._accelerator)
    assert losses
    assert len(waits) == len(learners), f"once for each, to read the norm and the values for the log, not {waits}"
    pair = ImagePair("a", torch.rand(3, 8, 8), torch.rand(3, 8 * self._scale, 8 * self._scale))
    validation = Validation([pair], [load_metric("psnr")], "psnr")
    assert validation.measure(average.module)["psnr"] == 1
    assert validation.grid(average.module).device.type == "cpu"
    return learners, average.module


def start(self, kind, config, *sources, **sizes):
    """A network of the preset's size, with random weights, as if RRDB gave them."""
    return kind(config).to(self.device), Start("rrdb")


@pytest.mark.filterwarnings("ignore:no RRDB weights")
@pytest.mark.parametrize("name", TRAININGS)
def test_training(name, gpu, backward, tmp_path, monkeypatch):
    for method, replaced in {"__init__": begin, "first_batch": first_batch, "start": start, "fit": fit}.items():
        monkeypatch.setattr(Training, method, replaced)
    monkeypatch.setattr(Training, "gpu", gpu, raising=False)
    vgg = {"features.0.weight": torch.rand(64, 3, 3, 3), "features.0.bias": torch.zeros(64)}
    for module in ("baselines.train", "srflow.training.second_stage"):
        monkeypatch.setattr(f"{module}.load_vgg", lambda network: vgg)
    monkeypatch.setattr("srflow.training.second_stage.channel_weights", lambda: [torch.rand(1, 64, 1, 1)])
    trainer, changes = TRAININGS[name]
    path = tmp_path / "preset.toml"
    path.write_text(PRESETS[trainer])
    train = find_plugin("trainers", trainer).factory
    request = TrainingRequest(str(path), (tmp_path,), tmp_path, (*STEP, *changes), device=gpu.device.type)
    learners, average = train(request)
    assert gpu.holds([*average.parameters()])
    for learner in learners:
        assert gpu.holds(learner.parameters(), [*learner.network.buffers()])
        assert len(learner.optimizer.state) == len(learner.parameters())
        for state in learner.optimizer.state.values():
            assert gpu.holds([*state.values()])
