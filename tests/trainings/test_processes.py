"""However a step is shared by processes or taken in parts, it is the same step."""

import os
import re

import pytest
import torch

from srbench.metrics import MetricError
from srbench.training.folder import TrainingFolder
from srbench.training.validation import Validation

STEPS = "training.steps=6"


def test_two_parts_of_a_step_are_the_step(trainings):
    for name, parts in (("one", 1), ("two", 2)):
        trainings.train(
            "rrdb", f"{name}-parts", "training.steps=2", "training.batch=4", f"training.grad_accumulation={parts}"
        )
    for name in ("l1", "gradient"):
        one, two = (trainings.losses(f"{parts}-parts", name) for parts in ("one", "two"))
        assert two == pytest.approx(one, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "loss"), [("rrdb", "l1"), ("srflow", "bits_per_dim")])
def test_two_halves_are_a_whole(trainings, model, loss):
    """Two processes with half the batch each, or one in two parts: the first step to 1e-4 of its size.

    Later ones drift apart, as a rounded sum turns a ReLU on or off.
    """
    settings = (STEPS, "training.batch=4", "training.max_grad_norm=0.5")
    trainings.train(model, f"{model}-alone", *settings)
    trainings.train(model, f"{model}-parts", *settings, "training.grad_accumulation=2")
    assert trainings.ended(trainings.fork(model, f"{model}-two", *settings, ranks=2)) == [0, 0]
    expected, gradients = (trainings.losses(f"{model}-alone", name) for name in (loss, "gradient"))
    for other in ("parts", "two"):
        found = trainings.losses(f"{model}-{other}", loss)
        assert found == pytest.approx(expected, rel=5e-3)
        assert found[0] == pytest.approx(expected[0], rel=1e-4)
        assert trainings.losses(f"{model}-{other}", "gradient")[0] == pytest.approx(gradients[0], rel=1e-4)
    assert expected[-1] != pytest.approx(expected[0], rel=1e-2)
    states = [torch.load(trainings.path / f"{model}-two-rank{rank}.pt", weights_only=True)[0] for rank in (0, 1)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.slow
def test_adversaries_in_two_processes_stay_equal(trainings):
    """Generator and discriminator have the same parameters on both (each normalises its own share of the batch)."""
    assert trainings.ended(trainings.fork("esrgan", "esrgan-two", STEPS, "training.batch=4", ranks=2)) == [0, 0]
    ranks = [torch.load(trainings.path / f"esrgan-two-rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    for ours, theirs in zip(*ranks, strict=True):
        trained = [name for name in ours if "running" not in name]
        assert all(torch.equal(ours[name], theirs[name]) for name in trained)


def other_weights():
    """Let the second process draw other random weights."""
    if os.environ["RANK"] == "1":
        seed = torch.manual_seed
        torch.manual_seed = lambda number: seed(number + 1)


@pytest.mark.slow
def test_all_processes_start_from_the_weights_of_the_first(trainings):
    settings = ("training.steps=2", "training.batch=4")
    for name, before in (("drawn-alike", None), ("drawn-apart", other_weights)):
        assert trainings.ended(trainings.fork("rrdb", name, *settings, ranks=2, before=before)) == [0, 0]
    states = [
        torch.load(trainings.path / f"{name}-rank{rank}.pt", weights_only=True)[0]
        for name in ("drawn-alike", "drawn-apart")
        for rank in (0, 1)
    ]
    assert all(torch.equal(state[name], states[0][name]) for state in states for name in state)


def no_checkpoint():
    """Let the second process find no checkpoint."""
    if os.environ["RANK"] == "1":
        TrainingFolder.restore = lambda self, state, steps: 0


@pytest.mark.slow
def test_processes_that_read_different_checkpoints_end(trainings):
    settings = ("training.steps=2", "training.batch=4", "training.checkpoint_every=1")
    assert trainings.ended(trainings.fork("rrdb", "apart", *settings, ranks=2)) == [0, 0]
    log = (trainings.path / "apart" / "train.csv").read_bytes()
    assert trainings.ended(trainings.fork("rrdb", "apart", *settings, ranks=2, before=no_checkpoint)) == [1, 1]
    assert (trainings.path / "apart" / "train.csv").read_bytes() == log


def failing_validation():
    """Let the validation fail, which only the first process does."""

    def fails(self, network):
        raise MetricError("lpips: no memory")

    Validation.measure = fails


@pytest.mark.slow
def test_all_processes_end_if_the_validation_fails(trainings, capfd):
    settings = ("training.steps=2", "training.batch=4", "training.validate_every=1")
    assert trainings.ended(trainings.fork("rrdb", "unmeasured", *settings, ranks=2, before=failing_validation)) == [
        1,
        1,
    ]
    errors = sorted(
        line for line in capfd.readouterr().err.splitlines() if re.match(r"[\w.]+(Error|Exception): ", line)
    )
    assert errors == [
        "srbench.metrics.MetricError: lpips: no memory",
        "srbench.training.TrainingError: the first process failed: lpips: no memory",
    ]
