"""srbench train --dry-run: what it counts, and that it writes nothing."""

import re
import tomllib

import pytest
import torch
from small_presets import PRESETS
from torch import nn

from srbench.training.config import TrainingConfig
from srbench.training.dry_run import measured_cost
from srbench.training.learner import Learner, adam

SETTINGS = tomllib.loads(PRESETS["esrgan"])["training"] | {"batch": 8, "accumulate": 2, "patch": 16}
CONFIG = TrainingConfig(**SETTINGS)


def cost_of(network):
    """The cost of the mean of the squared output for patches of 16x16 pixels."""
    learner = Learner("network", network, adam([network.parameters()], CONFIG), lambda batch: None)

    def take_step(patches):
        network(torch.rand(patches, 3, 16, 16)).square().mean().backward()
        learner.optimizer.step()
        learner.optimizer.zero_grad()

    return measured_cost(take_step, [learner], CONFIG)


def test_a_convolution_by_hand():
    """Forwards and for the gradient of its weights: 2 * 27 * 8 operations per pixel each; kept are input and output."""
    pixels, floats = 16 * 16, 4
    parameters = 8 * 27 + 8
    cost = cost_of(nn.Conv2d(3, 8, 3, padding=1))
    assert cost.operations == (0, 2 * 2 * 27 * 8 * pixels)
    assert cost.bytes[1] == (3 + 8) * pixels * floats
    assert cost.parameters == parameters
    # weights, average, gradients and two moments; and the step counters of Adam
    assert cost.state_bytes == 5 * parameters * floats + 2 * floats
    assert cost.operations_of(8, 2) == 8 * cost.operations[1]
    assert cost.memory(4) == cost.state_bytes + cost.bytes[0] + 4 * cost.bytes[1]


def test_what_is_freed_before_the_end_is_no_peak():
    """Two steps one after another keep no more than one."""
    network = nn.Conv2d(3, 8, 3, padding=1)
    once = cost_of(network).bytes

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, images):
            self.network(images).square().mean().backward()
            return self.network(images)

    assert cost_of(Twice()).bytes == once


@pytest.mark.parametrize("model", ["rrdb", "srflow-perceptual", "esrgan"])
def test_it_writes_nothing_and_needs_nothing(trainings, model, monkeypatch, capsys, tmp_path):
    """Neither images, initial weights nor VGG are there; folder, cache and random trainings stay as they are."""

    def absent(network):
        raise AssertionError("a dry run asks for VGG")

    for trainer in ("baselines.train", "srflow.training.second_stage"):
        monkeypatch.setattr(f"{trainer}.load_vgg", absent)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    out = trainings.train(model, f"dry-{model}", data=(), start=None, dry_run=True)
    assert out == trainings.path / f"dry-{model}"
    assert not out.exists()
    assert not any(tmp_path.iterdir())
    printed = capsys.readouterr().out
    assert "steps       20 of 2 patches, 32x32 HR pixels" in printed
    assert "none named; add --data DIR" in printed
    for unit in (
        r"about [\d.]+ [kM]B for each process",
        r"about [\d.]+ [MG]FLOP for a step",
        r"about .* s here \(cpu, 1 thread",
    ):
        assert re.search(unit, printed), printed
    assert "Nothing was written" in printed


def test_reversible_training_keeps_less_and_computes_more(trainings, capsys):
    def figures(*changes):
        trainings.train("srflow", "dry", "network.steps=6", *changes, start=None, dry_run=True)
        found = re.search(
            r"optimiser [\d.]+ \w+, a patch ([\d.]+) (\w)B\n.*about ([\d.]+) (\w)FLOP", capsys.readouterr().out
        )
        scale = {"k": 1e3, "M": 1e6, "G": 1e9}
        return float(found[1]) * scale[found[2]], float(found[3]) * scale[found[4]]

    memory, operations = figures()
    less, more = figures("reversible=true")
    assert less < 0.6 * memory
    assert 1.1 * operations < more < 2 * operations


def test_the_command(trainings, srbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = trainings.path / "data"
    preset = ("--preset", trainings.path / "rrdb.toml")
    found = srbench("train", "rrdb", *preset, "--dry-run", "--data", data, "--set", "training.batch=4")
    assert found.exit_code == 0, found.stderr
    assert f"{data}, 3 images, not opened" in found.stdout
    assert "20 of 4 patches" in found.stdout
    assert not any(tmp_path.iterdir())
    assert "Give --data DIR" in srbench("train", "rrdb", *preset, "--dry-run", "--lr", data).stderr
    found = srbench("train", "rrdb", *preset, "--dry-run", "--data", tmp_path)
    assert (found.exit_code, "contains no images" in found.stderr) == (1, True)
