"""The parts of the training loop; whole trainings are in tests/test_train.py."""

import contextlib
import json

import pytest
import torch
from accelerate import Accelerator

from srbench.images import write_png
from srbench.resize import downscale_uint8
from srbench.training import Patches, TrainingConfig, TrainingError, fit, generator_at, open_training


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


def test_generators_differ_by_place_only():
    def draw(*place):
        return torch.rand(3, generator=generator_at(*place)).tolist()

    assert draw(1, 2, 3) == draw(1, 2, 3)
    assert len({tuple(draw(*place)) for place in [(1, 2, 3), (1, 3, 2), (2, 2, 3), (1, 2, 3, 0)]}) == 4


def test_patches_are_aligned_and_repeatable(pictures):
    """Every LR patch is a piece of a whole picture's LR, turned like its HR patch."""
    patches = Patches(pictures, 4, config())
    whole = [(hr, downscale_uint8(hr, 4)) for hr in (patches._pair(i)[1] for i in range(2))]
    lr, hr = patches.batch(7)
    assert lr.shape == (3, 3, 4, 4)
    assert hr.shape == (3, 3, 16, 16)
    for one_lr, one_hr in zip((lr * 255).round().byte(), (hr * 255).round().byte(), strict=True):
        assert any(
            torch.equal(piece_hr, one_hr) and torch.equal(piece_lr, one_lr) for piece_lr, piece_hr in _all_pieces(whole)
        )
    again = Patches(pictures, 4, config()).batch(7)
    assert torch.equal(again[0], lr)
    assert torch.equal(again[1], hr)
    assert not torch.equal(patches.batch(8)[1], hr)
    assert not torch.equal(patches.batch(7, rank=1)[1], hr)


def _all_pieces(whole):
    for hr, lr in whole:
        for top in range(lr.shape[1] - 3):
            for left in range(lr.shape[2] - 3):
                small = lr[:, top : top + 4, left : left + 4]
                large = hr[:, 4 * top : 4 * top + 16, 4 * left : 4 * left + 16]
                for turns in range(4):
                    pair = torch.rot90(small, turns, (1, 2)), torch.rot90(large, turns, (1, 2))
                    yield pair
                    yield pair[0].flip(-1), pair[1].flip(-1)


def test_a_full_cache_changes_nothing(pictures):
    patches = Patches(pictures, 4, config())
    expected = patches.batch(3)
    patches = Patches(pictures, 4, config())
    patches.cache_bytes = 0
    assert torch.equal(patches.batch(3)[1], expected[1])
    assert not patches._cache


@pytest.mark.parametrize(
    ("changes", "message"), [({"patch": 18}, "no multiple"), ({"patch": 64}, "smaller than the patch")]
)
def test_unusable_sizes(pictures, changes, message):
    with pytest.raises(TrainingError, match=message):
        Patches(pictures, 4, config(**changes)).batch(0)


def test_unusable_folders(tmp_path):
    with pytest.raises(TrainingError, match="no such folder"):
        Patches(tmp_path / "absent", 4, config())
    with pytest.raises(TrainingError, match="no pictures"):
        Patches(tmp_path, 4, config())


def test_the_folder_of_another_training_is_refused(pictures, tmp_path):
    patches = Patches(pictures, 4, config())
    first = open_training(tmp_path / "out", "rrdb", "mini", config(), patches)
    assert open_training(tmp_path / "out", "rrdb", "mini", config(), patches) == first
    with pytest.raises(TrainingError, match="other settings or data; choose another --out"):
        open_training(tmp_path / "out", "rrdb", "mini", config(steps=21), patches)
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="cannot be written"):
        open_training(tmp_path / "file" / "out", "rrdb", "mini", config(), patches)


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


def test_infinite_losses_stop_the_training_after_ten_in_a_row(tmp_path):
    def take_step(step):
        return {"loss": float("nan") if step >= 5 else 1.0}

    with pytest.raises(TrainingError, match="no finite loss in steps 5 to 14"):
        fit(tmp_path, config(), Accelerator(cpu=True), {}, take_step)


def test_a_strange_checkpoint_is_refused(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(TrainingError, match="not a checkpoint of this training"):
        fit(tmp_path, config(), Accelerator(cpu=True), {"counter": Counter()}, lambda step: {})
