"""Memory that does not suffice for a training: an error that says what helps, and no checkpoint is called damaged."""

from __future__ import annotations

import pytest
import torch

from baselines.rrdb import RRDBNet
from srbench.training import TrainingError
from srbench.weights.files import WeightsError
from srbench.weights.reading import read_weights
from srflow.model import SRFlow


def short(*arguments, **named):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(
    ("model", "network", "call", "advice"),
    [
        ("rrdb", RRDBNet, "forward", ""),
        ("srflow", SRFlow, "nll", ", or set reversible=true"),
        ("srflow-perceptual", SRFlow, "given", ""),
    ],
)
def test_a_step_for_which_the_memory_does_not_suffice(trainings, model, network, call, advice, dry_run, monkeypatch):
    monkeypatch.setattr(network, call, short)
    expected = "a step needs more memory than cpu has; make training.batch smaller or training.accumulate larger"
    with pytest.raises(TrainingError) as raised:
        trainings.train(model, f"short-{model}-{dry_run}", dry_run=dry_run)
    assert str(raised.value) == expected + advice


def test_a_checkpoint_for_which_the_memory_does_not_suffice(trainings, monkeypatch):
    trainings.train("rrdb", "too-large", "training.steps=2")
    checkpoint = trainings.path / "too-large" / "checkpoint.pt"
    monkeypatch.setattr(torch, "load", short)
    with pytest.raises(TrainingError, match=r"checkpoint\.pt: more than the memory holds \(CUDA out of memory"):
        trainings.go_on("too-large")
    with pytest.raises(WeightsError, match=r"checkpoint\.pt: more than the memory holds \(CUDA out of memory"):
        read_weights(checkpoint)
