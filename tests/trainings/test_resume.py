"""A training that was killed and taken up again is the uninterrupted one, bit for bit."""

import math
import os
import random
import signal

import pytest
import torch

from srbench.interfaces import ImageMetric, MetricFacts
from srbench.training import TrainingError, loop
from srbench.training.folder import TrainingFolder, TrainingLog
from srbench.weights.files import load_weights

FILES = ("train.csv", "validation.csv", "weights.safetensors", "best.safetensors")


def same_files(trainings, one, other):
    return [
        name
        for name in FILES
        if (trainings.path / one / name).read_bytes() == (trainings.path / other / name).read_bytes()
    ]


@pytest.mark.parametrize("model", ["rrdb", "esrgan", "srflow"])
def test_an_interrupted_training_resumes_exactly(trainings, until, model):
    """Between two checkpoints, too: every file has the bytes of the uninterrupted training."""
    whole, stopped = f"{model}-at-once", f"{model}-in-two"
    trainings.train(model, whole, "training.steps=12")
    until(model, stopped, 10, "training.steps=12")
    trainings.go_on(stopped)
    assert same_files(trainings, whole, stopped) == list(FILES)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "ranks"), [("rrdb", 1), ("esrgan", 1), ("srflow", 1), ("srflow", 2), ("srflow-perceptual", 1)]
)
def test_a_killed_training_resumes_exactly(trainings, model, ranks):
    """SIGKILL at a random step, then the same again: every file has the bytes of the uninterrupted training."""
    whole, killed = f"{model}-{ranks}-whole", f"{model}-{ranks}-killed"
    assert trainings.ended(trainings.fork(model, whole, ranks=ranks)) == [0] * ranks
    pids = trainings.fork(model, killed, ranks=ranks)
    trainings.wait_for_steps(killed, random.randrange(1, 19))
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert trainings.ended(pids) == [-signal.SIGKILL] * ranks
    assert len(trainings.losses(killed)) < 20
    assert trainings.ended(trainings.fork(model, killed, ranks=ranks)) == [0] * ranks
    assert same_files(trainings, whole, killed) == list(FILES)
    states = [
        torch.load(trainings.path / f"{out}-rank{rank}.pt", weights_only=True)
        for out in (whole, killed)
        for rank in range(ranks)
    ]
    for other in states[1:]:
        assert all(torch.equal(other[0][name], value) for name, value in states[0][0].items())


@pytest.mark.slow
@pytest.mark.parametrize(("number", "ranks"), [(signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGTERM, 2)])
def test_a_signal_saves_the_step_in_progress(trainings, number, ranks):
    """No checkpoint is due before the end; one process of several is enough to stop all."""
    out, never = f"stopped-{number}-{ranks}", "training.checkpoint_every=1000"
    pids = trainings.fork("rrdb", out, never, ranks=ranks)
    trainings.wait_for_steps(out, 3)
    os.kill(pids[-1], number)
    assert trainings.ended(pids) == [1] * ranks
    saved = torch.load(trainings.path / out / "checkpoint.pt", weights_only=True)
    assert 3 <= saved["step"] == len(trainings.losses(out)) < 20
    assert trainings.ended(trainings.fork("rrdb", out, never, ranks=ranks)) == [0] * ranks
    assert trainings.ended(trainings.fork("rrdb", f"{out}-whole", never, ranks=ranks)) == [0] * ranks
    assert same_files(trainings, out, f"{out}-whole") == list(FILES)


def test_a_long_time_without_a_checkpoint(trainings, monkeypatch):
    saved, save = [], TrainingFolder.save
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", 1e9)
    monkeypatch.setattr(TrainingFolder, "save", lambda self, state, step: (saved.append(step), save(self, state, step)))
    trainings.train("rrdb", "by-time", "training.steps=4", "training.checkpoint_every=1000")
    assert saved == [1, 2, 3, 4]


def test_a_slow_checkpoint_takes_two_percent_of_the_time(trainings, monkeypatch):
    """A second for each checkpoint, and none for anything else: after the first, one is due when 50 s are over."""
    now, saved, save = [0.0], [], TrainingFolder.save

    def slow(self, state, step):
        saved.append(step)
        now[0] += 1
        save(self, state, step)

    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 10.0)
    monkeypatch.setattr(TrainingFolder, "save", slow)
    take = loop.Training._take_step

    def timed(self, batch, *rest):
        now[0] += 10
        return take(self, batch, *rest)

    monkeypatch.setattr(loop.Training, "_take_step", timed)
    trainings.train("rrdb", "slow", "training.steps=12", "training.checkpoint_every=1000")
    assert saved == [1, 6, 11, 12]


def full_after(steps):
    """From the given step on, files of this process cannot grow beyond what train.csv needs."""

    def before():
        import resource

        from srbench.training.loop import Training

        take = Training._take_step

        def step(self, batch, *rest):
            if batch.step == steps:
                resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
            return take(self, batch, *rest)

        Training._take_step = step

    return before


@pytest.mark.slow
def test_a_full_disk_keeps_the_last_checkpoint(trainings):
    pids = trainings.fork("rrdb", "full", before=full_after(7))
    assert trainings.ended(pids) == [1]
    out = trainings.path / "full"
    assert torch.load(out / "checkpoint.pt", weights_only=True)["step"] == 5
    assert not [path for path in out.iterdir() if path.name.startswith(".")], "nothing half-written is left"
    trainings.go_on("full")
    trainings.train("rrdb", "uninterrupted")
    assert same_files(trainings, "full", "uninterrupted") == list(FILES)


def test_another_validation_is_another_training(trainings):
    trainings.train("rrdb", "validated", "training.steps=2", validation=trainings.path / "data", start=None)
    with pytest.raises(TrainingError, match=r"other settings or data \(validation\)"):
        trainings.train("rrdb", "validated", "training.steps=2", start=None)


class NeedsWeights(ImageMetric):
    """A metric that loads its weights at its first call."""

    facts = MetricFacts(name="mine", title="Mine", direction=1, protocol="a test")

    def __init__(self, path):
        self.path = path

    def __call__(self, samples, pair):
        load_weights(self.path)
        return torch.zeros(len(samples))


def test_missing_weights_of_a_metric_are_an_error_before_the_first_step(trainings):
    missing = NeedsWeights(trainings.path / "mine.safetensors")
    message = r"validation by Mine: .*mine\.safetensors: no such weights file"
    with pytest.raises(TrainingError, match=message):
        trainings.train("rrdb", "unmeasured", "training.steps=2", metrics=(*trainings.metrics, missing))
    assert not (trainings.path / "unmeasured").exists()


def test_a_metric_that_is_there_no_more(tmp_path):
    TrainingLog(tmp_path / "v.csv").append(1, {"psnr": 20.0, "mine": 1.0})
    TrainingLog(tmp_path / "v.csv").append(2, {"psnr": 21.0})
    assert math.isnan(TrainingLog(tmp_path / "v.csv").read()[1]["mine"])
