"""The parts of the training loop; whole trainings are in tests/test_train.py."""

import contextlib
import json
import math
from statistics import fmean

import pytest
import torch
from accelerate import Accelerator

from srbench.images import write_png
from srbench.training.loop import TrainingConfig, TrainingError, fit, open_training, save_trained
from srbench.training.patches import Patches
from srbench.weights.files import load_weights


def config(**changes):
    values = {
        "steps": 20,
        "batch": 3,
        "patch": 16,
        "learning_rate": 1.0,
        "betas": (0.9, 0.99),
        "milestones": (0.5, 0.75),
        "max_grad_norm": 1.0,
        "checkpoint_every": 4,
        "seed": 5,
    }
    return TrainingConfig(**values | changes)


@pytest.fixture
def pictures(tmp_path):
    generator = torch.Generator().manual_seed(0)
    for i, (height, width) in enumerate([(40, 33), (24, 50)]):
        picture = torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)
        write_png(tmp_path / "data" / f"{i}.png", picture)
    return tmp_path / "data"


def test_learning_rate_halves_at_the_milestones():
    assert [config().learning_rate_at(step) for step in (0, 9, 10, 14, 15, 19)] == [
        1,
        1,
        0.5,
        0.5,
        0.25,
        0.25,
    ]


def test_the_folder_of_another_training_is_refused(pictures, tmp_path):
    patches = Patches(pictures, 4, config())
    first = open_training(tmp_path / "out", "rrdb", "mini", None, config(), patches)
    assert open_training(tmp_path / "out", "rrdb", "mini", None, config(), patches) == first
    with pytest.raises(TrainingError, match="other settings or data; choose another --out"):
        open_training(tmp_path / "out", "rrdb", "mini", None, config(steps=21), patches)
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="cannot be written"):
        open_training(tmp_path / "file" / "out", "rrdb", "mini", None, config(), patches)


class Counter:
    """Something with a state."""

    def __init__(self):
        self.value = 0

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, state):
        self.value = state["value"]


def test_a_stopped_loop_goes_on_from_its_checkpoint(tmp_path):
    def run(stop_at):
        counter, taken = Counter(), []

        def take_step(step):
            if step == stop_at:
                raise KeyboardInterrupt
            taken.append(step)
            counter.value += step
            return {"sum": float(counter.value)}

        with contextlib.suppress(KeyboardInterrupt):
            fit(tmp_path, config(), Accelerator(cpu=True), {"counter": counter}, take_step)
        return counter.value, taken

    run(stop_at=10)
    total, taken = run(stop_at=None)
    assert taken == list(range(8, 20))
    assert total == sum(range(20))
    rows = [json.loads(line) for line in (tmp_path / "losses.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(20))
    assert rows[-1]["sum"] == total
    assert run(stop_at=None)[1] == []


def test_weights_carry_the_curves_of_the_losses(tmp_path):
    lines = [{"step": k, "nll": 1000.0 - k if k != 7 else math.nan, "gradient": math.inf} for k in range(401)]
    (tmp_path / "losses.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    path = save_trained(tmp_path, torch.nn.Linear(2, 3), config(), {"model": "m"}, "float32")
    curves = json.loads(load_weights(path)[1]["losses"])
    assert curves["gradient"] == []
    assert len(curves["nll"]) == 40
    assert curves["nll"][0] == pytest.approx(fmean(1000 - k for k in (0, 1, 2, 3, 4, 5, 6, 8, 9, 10)), abs=0.1)
    assert curves["nll"][-1] == pytest.approx(604.5, abs=0.1)


def test_infinite_losses_stop_the_training_after_ten_in_a_row(tmp_path):
    def take_step(step):
        return {"loss": float("nan") if step >= 5 else 1.0}

    with pytest.raises(TrainingError, match="no finite loss in steps 5 to 14"):
        fit(tmp_path, config(), Accelerator(cpu=True), {}, take_step)


def test_a_strange_checkpoint_is_refused(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(TrainingError, match="not a checkpoint of this training"):
        fit(tmp_path, config(), Accelerator(cpu=True), {"counter": Counter()}, lambda step: {})
