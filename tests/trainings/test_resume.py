"""A training that was killed and taken up again is the uninterrupted one, bit for bit."""

import os
import random
import signal

import pytest
import torch

FILES = ("train.csv", "validation.csv", "weights.safetensors", "best.safetensors")


def same_files(trainings, one, other):
    return [
        name
        for name in FILES
        if (trainings.path / one / name).read_bytes() == (trainings.path / other / name).read_bytes()
    ]


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


def test_ctrl_c_keeps_the_last_checkpoint(trainings):
    pids = trainings.fork("rrdb", "interrupted")
    trainings.wait_for_steps("interrupted", 8)
    os.kill(pids[0], signal.SIGINT)
    assert trainings.ended(pids) == [1]
    saved = torch.load(trainings.path / "interrupted" / "checkpoint.pt", weights_only=True)
    assert saved["step"] in (5, 10, 15)
    trainings.go_on("interrupted")
    trainings.train("rrdb", "uninterrupted")
    assert same_files(trainings, "interrupted", "uninterrupted") == list(FILES)


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


def test_a_full_disk_keeps_the_last_checkpoint(trainings):
    pids = trainings.fork("rrdb", "full", before=full_after(7))
    assert trainings.ended(pids) == [1]
    out = trainings.path / "full"
    assert torch.load(out / "checkpoint.pt", weights_only=True)["step"] == 5
    assert not [path for path in out.iterdir() if path.name.startswith(".")], "nothing half-written is left"
    trainings.train("rrdb", "full")
    trainings.train("rrdb", "uninterrupted")
    assert same_files(trainings, "full", "uninterrupted") == list(FILES)
