"""Memory that does not suffice for a training: an error that says what helps, and no checkpoint is called damaged."""

from __future__ import annotations

import pytest
import torch

from baselines.rrdb import RRDBNet
from srbench.training import TrainingError
from srbench.weights.reading import read_weights
from srflow.model import SRFlow


def short(*arguments, **named):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize(
    ("model", "network", "call"),
    [("rrdb", RRDBNet, "forward"), ("srflow", SRFlow, "bits_per_dimension"), ("srflow-perceptual", SRFlow, "given")],
)
def test_a_step_for_which_the_memory_does_not_suffice(trainings, model, network, call, monkeypatch, capsys):
    works = getattr(network, call)
    monkeypatch.setattr(
        network, call, lambda *given, **named: (short if torch.is_grad_enabled() else works)(*given, **named)
    )
    with pytest.raises(TrainingError, match=r"a step needs more memory than cpu has; make training\.batch smaller or"):
        trainings.train(model, f"short-{model}")
    capsys.readouterr()
    trainings.train(model, f"short-{model}", "training.batch=4", dry_run=True)
    printed = capsys.readouterr().out
    assert printed.startswith(f"model       {model}, preset ")
    assert "steps       20 of 4 patches, 32x32 HR pixels\nmemory      not even 1 patch at a time fits" in printed
    assert "a step" not in printed


def test_a_dry_run_measures_as_many_patches_as_fit(trainings, monkeypatch, capsys):
    """With memory for three patches, of six first six are tried, then three."""
    forward, tried = RRDBNet.forward, []

    def forward_or_raise(self, lr):
        tried.append(len(lr))
        return short() if len(lr) > 3 else forward(self, lr)

    monkeypatch.setattr(RRDBNet, "forward", forward_or_raise)
    trainings.train("rrdb", "short-dry", "training.batch=6", dry_run=True)
    assert tried == [6, *(2 * 3) * [3]]
    printed = capsys.readouterr().out
    assert "6 patches at a time need more memory than cpu has; --set training.grad_accumulation=2" in printed
    assert "3 patches at a time: 1 process, grad_accumulation 2" in printed
    assert "a step      " in printed


def test_processes_do_not_try_smaller_parts(trainings, monkeypatch):
    """One that did would be out of step with the others."""
    monkeypatch.setattr(RRDBNet, "forward", short)
    monkeypatch.setattr("accelerate.Accelerator.num_processes", 2)
    with pytest.raises(TrainingError, match="a step needs more memory than cpu has"):
        trainings.train("rrdb", "short-of-two", dry_run=True)


def test_a_checkpoint_for_which_the_memory_does_not_suffice(trainings, monkeypatch):
    trainings.train("rrdb", "too-large", "training.steps=2")
    checkpoint = trainings.path / "too-large" / "checkpoint.pt"
    monkeypatch.setattr(torch, "load", short)
    with pytest.raises(torch.OutOfMemoryError):
        trainings.go_on("too-large")
    with pytest.raises(torch.OutOfMemoryError):
        read_weights(checkpoint)
