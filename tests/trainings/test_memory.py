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


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(
    ("model", "network", "call"),
    [("rrdb", RRDBNet, "forward"), ("srflow", SRFlow, "nll"), ("srflow-perceptual", SRFlow, "given")],
)
def test_a_step_for_which_the_memory_does_not_suffice(trainings, model, network, call, dry_run, monkeypatch):
    monkeypatch.setattr(network, call, short)
    with pytest.raises(TrainingError, match=r"a step needs more memory than cpu has; make training\.batch smaller or"):
        trainings.train(model, f"short-{model}-{dry_run}", dry_run=dry_run)


def test_a_checkpoint_for_which_the_memory_does_not_suffice(trainings, monkeypatch):
    trainings.train("rrdb", "too-large", "training.steps=2")
    checkpoint = trainings.path / "too-large" / "checkpoint.pt"
    monkeypatch.setattr(torch, "load", short)
    with pytest.raises(torch.OutOfMemoryError):
        trainings.go_on("too-large")
    with pytest.raises(torch.OutOfMemoryError):
        read_weights(checkpoint)
