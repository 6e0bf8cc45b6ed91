"""srbench train --dry-run: what it measures, and that it writes nothing."""

import re

import pytest
import torch
from torch import nn

from srbench.images.io import write_png
from srbench.machine.memory import peak_memory_mb
from srbench.training.dry_run import measured_cost
from srbench.weights.files import WeightsError, load_weights


def test_three_steps_are_taken_and_measured(monkeypatch):
    """Of a convolution, forwards and for the gradient of its weights: 2 * 27 * 8 operations per pixel each.

    The first step takes 5 s of a clock that the others advance by 1 s and 2 s.
    """
    network, seconds, steps = nn.Conv2d(3, 8, 3, padding=1), [5, 1, 2], []
    monkeypatch.setattr("srbench.machine.usage.time.perf_counter", lambda: float(sum(seconds[: len(steps)])))

    def take_step():
        network(torch.rand(2, 3, 16, 16)).square().mean().backward()
        steps.append(1)

    cost = measured_cost(take_step, torch.device("cpu"))
    assert len(steps) == 3
    assert cost.operations == 2 * 2 * 27 * 8 * 2 * 16 * 16
    assert cost.seconds == 1.5
    assert 0 < cost.memory_mb <= peak_memory_mb("cpu")


@pytest.mark.parametrize("model", ["rrdb", "srflow", "srflow-perceptual", "esrgan", "rectified-flow"])
def test_it_writes_nothing_and_needs_nothing(trainings, model, monkeypatch, capsys, tmp_path):
    """Neither images, initial weights nor VGG are there; folder, cache and random trainings stay as they are."""

    def absent(network):
        raise AssertionError("a dry run asks for VGG")

    for trainer in ("baselines.train", "srflow.training.second_stage"):
        monkeypatch.setattr(f"{trainer}.load_vgg", absent)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    changes = ("training.batch=4", "training.grad_accumulation=2")
    out = trainings.train(model, f"dry-{model}", *changes, data=(), start=None, dry_run=True)
    assert out == trainings.path / f"dry-{model}"
    assert not out.exists()
    assert not any(tmp_path.iterdir())
    printed = capsys.readouterr().out
    assert "steps       20 of 4 patches, 32x32 HR pixels\n            2 patches at a time: 1 process" in printed
    assert "none named; add --data DIR" in printed
    for line in (
        r"a step      [\d.]+ s here \(cpu, 1 thread\), [\d.]+ [MG]FLOP",
        r"memory      [\d.]+ [MG]B at the peak of each process",
        r"disk        [\d.]+ [kM]B: 12 weights files of [\d.]+ [kM]B, checkpoint of [\d.]+ [kM]B",
        r"all steps   about [\d.]+ \w+ here, [\d.]+ [MGT]FLOP",
    ):
        assert re.search(line, printed), printed
    assert "Nothing was written" in printed


@pytest.mark.parametrize(("model", "first"), [("srflow-perceptual", "first-stage"), ("esrgan", "start")])
def test_a_dry_run_has_the_size_of_the_start_weights(trainings, model, first, capsys):
    numbers = sum(value.numel() for value in load_weights(trainings.path / first / "weights.safetensors")[0].values())
    trainings.train(model, "dry", dry_run=True)
    assert f", {numbers:,} parameters\n" in capsys.readouterr().out
    trainings.train(model, "dry", start=None, dry_run=True)
    assert f", {numbers:,} parameters\n" not in capsys.readouterr().out


@pytest.mark.parametrize("model", ["rrdb", "srflow", "srflow-perceptual", "esrgan", "rectified-flow"])
def test_a_dry_run_reads_the_start_weights(trainings, model):
    with pytest.raises(WeightsError, match=r"absent\.safetensors: no such weights file"):
        trainings.train(model, "dry", start=trainings.path / "absent.safetensors", dry_run=True)
    wrong = (
        trainings.path
        / ("first-stage" if model in ("rrdb", "esrgan", "rectified-flow") else "start")
        / "weights.safetensors"
    )
    if model == "srflow":
        assert trainings.train(model, "dry", start=wrong, dry_run=True) == trainings.path / "dry", "RRDB, its encoder"
    else:
        with pytest.raises(WeightsError, match=r"weights of \S+, not of"):
            trainings.train(model, "dry", start=wrong, dry_run=True)


def test_a_dry_run_refuses_what_the_training_refuses(trainings, srbench, tmp_path, monkeypatch):
    """The same line, without decoding an image."""
    monkeypatch.chdir(tmp_path)
    data = trainings.path / "data"
    smaller = tmp_path / "lr"
    write_png(tmp_path / "one" / "0.png", torch.zeros(3, 12, 12, dtype=torch.uint8))
    for path in data.iterdir():
        write_png(smaller / path.name, torch.zeros(3, 12, 12, dtype=torch.uint8))
    command = (
        "train",
        "rrdb",
        "--preset",
        trainings.path / "rrdb.toml",
        "--set",
        "training.steps=1",
        "--device",
        "cpu",
    )
    for options, message in (
        (("--data", data, "--validation", "absent"), "absent: missing, not a folder of images"),
        (
            ("--hr", data, "--lr", data),
            "none of 3 images gives patches of 32: 0.png: HR of 48x48 is not 4 times LR of 48",
        ),
        (("--hr", smaller, "--lr", data), "0.png: 12x12 is smaller than its LR image of 48x48; exchange the folders"),
        (("--hr", data, "--lr", tmp_path / "one"), "HR and LR are paired by name, but these are unpaired"),
        (
            ("--data", data, "--set", "training.patch=33"),
            "training.patch is 33; it has to be a multiple of the scale 4",
        ),
    ):
        dry, real = (srbench(*command, *options, *more) for more in (("--dry-run",), ()))
        assert (dry.exit_code, real.exit_code) == (1, 1), options
        assert message in dry.stderr
        assert dry.stderr.splitlines()[-1] == real.stderr.splitlines()[-1]
    found = srbench(*command, "--hr", data, "--lr", smaller, "--dry-run")
    assert (found.exit_code, f"{smaller}, 3 images, not decoded" in found.stdout) == (0, True)


def test_a_dry_run_counts_the_whole_step(trainings, capsys):
    """Twice the batch has twice the operations, however it is split; a reversible training recomputes activations."""

    def operations(*changes):
        trainings.train("srflow", "dry", "network.steps=6", *changes, start=None, dry_run=True)
        found = re.search(r"thread\), ([\d.]+) (\w)FLOP", capsys.readouterr().out)
        return float(found[1]) * {"M": 1e6, "G": 1e9}[found[2]]

    plain = operations("training.batch=4")
    assert operations("training.batch=8", "training.grad_accumulation=2") == pytest.approx(2 * plain, rel=0.02)
    assert 1.1 * plain < operations("training.batch=4", "reversible=true") < 2 * plain


def test_the_command(trainings, srbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = trainings.path / "data"
    preset = ("--preset", trainings.path / "rrdb.toml")
    found = srbench("train", "rrdb", *preset, "--dry-run", "--data", data, "--set", "training.batch=4")
    assert found.exit_code == 0, found.stderr
    assert f"{data}, 3 images, not decoded" in found.stdout
    assert "20 of 4 patches" in found.stdout
    assert not any(tmp_path.iterdir())
    assert "Give --data DIR" in srbench("train", "rrdb", *preset, "--dry-run", "--lr", data).stderr
    found = srbench("train", "rrdb", *preset, "--dry-run", "--data", tmp_path)
    assert (found.exit_code, "contains no images" in found.stderr) == (1, True)
