"""Steps of every training on a GPU are those of the CPU, in bfloat16 too, and after an interruption."""

from __future__ import annotations

import math

import pytest
from accelerate.state import AcceleratorState

FLOW = "encoder_freeze=0.0"  # the encoder learns from the first step on
CASES = {
    "rrdb": ("rrdb", (), ()),
    "esrgan": ("esrgan", (), ()),
    "rectified-flow": ("rectified-flow", (), ()),
    "srflow": ("srflow", (FLOW,), ()),
    "reversible": ("srflow", (FLOW,), ("reversible=true",)),
    "second stage": ("srflow-perceptual", (), ()),
}
"""Models, with changes to their presets, and further changes on the device alone."""


@pytest.fixture
def train_on(trainings):
    """train_on(device, model, out, *changes, by=...): in a process that has trained on another,
    which Accelerate keeps."""

    def call(device, model, out, *changes, by=trainings.train):
        AcceleratorState._reset_state(True)
        by(model, out, *changes, device=device)
        return trainings.losses(out)

    yield call
    AcceleratorState._reset_state(True)


@pytest.mark.parametrize("case", CASES)
def test_a_step_is_that_of_the_cpu(train_on, device, case):
    model, changes, there = CASES[case]
    steps = "training.steps=2", *changes
    expected, _ = train_on("cpu", model, f"{case} for {device}", *steps)
    found, _ = train_on(device, model, f"{case} on {device}", *steps, *there)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        tolerance = 1e-3 if name.startswith("gradient") else 1e-4
        if name == "gradient of discriminator":  # after the generator's step, which enlarges differences
            tolerance = 5e-2
        assert found[name] == pytest.approx(value, rel=tolerance, abs=1e-6), name


@pytest.mark.parametrize("case", CASES)
def test_a_step_in_bfloat16_is_finite(train_on, device, case, monkeypatch):
    if device == "cpu":
        monkeypatch.setattr("srbench.training.config.has_bfloat16", lambda device: True)  # torch computes it anyway
    model, changes, there = CASES[case]
    rows = train_on(
        device, model, f"half {case} on {device}", "training.steps=2", "training.precision=bfloat16", *changes, *there
    )
    assert all(math.isfinite(value) for row in rows for value in row.values())


@pytest.mark.parametrize("model", ["rrdb", "srflow"])
def test_an_interrupted_training_goes_on(trainings, train_on, until, device, model):
    """Few steps: on a GPU, gradients differ in their last bits from one time to the next, and Adam enlarges that."""

    def interrupted(model, out, *changes, device):
        until(model, out, 2, *changes, device=device)

    def resumed(model, out, *changes, device):
        trainings.go_on(out, device)

    steps = "training.steps=4", "training.checkpoint_every=2"
    names = f"{model} at once on {device}", f"{model} in two on {device}"
    whole = train_on(device, model, names[0], *steps)
    train_on(device, model, names[1], *steps, by=interrupted)
    parts = train_on(device, model, names[1], by=resumed)
    assert len(parts) == len(whole) == 4
    for one, other in zip(parts, whole, strict=True):
        assert math.isfinite(one.pop("gradient"))
        del other["gradient"]
        assert one == pytest.approx(other, rel=2e-2)
