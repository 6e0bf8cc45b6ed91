"""Small trainings of every model: images, RRDB weights to start from, and processes that can be killed."""

import os
import signal
import socket
import sys
import threading
import time
import traceback

import pytest
import torch
from accelerate.state import AcceleratorState, PartialState
from small_presets import PRESETS

import baselines.train
import srflow.training.second_stage
import srflow.training.train
from srbench.images.io import write_png
from srbench.metrics.loading import load_metric
from srbench.training.folder import TrainingFolder, TrainingLog, resumed
from srbench.training.request import TrainingRequest

FIRST = {"esrgan": "start", "rectified-flow": "start", "srflow": "start", "srflow-perceptual": "first-stage"}
"""The training that the others start from."""
TRAINERS = {
    "rrdb": baselines.train.train_rrdb,
    "esrgan": baselines.train.train_esrgan,
    "rectified-flow": baselines.train.train_rectified_flow,
    "srflow": srflow.training.train.train_srflow,
    "srflow-perceptual": srflow.training.second_stage.train_srflow_perceptual,
}


def small_vgg(network="vgg16"):
    generator = torch.Generator().manual_seed(0)
    return {"features.0.weight": torch.randn(64, 3, 3, 3, generator=generator), "features.0.bias": torch.zeros(64)}


class Trainings:
    """Trainings in the folders below ``path``."""

    def __init__(self, path):
        self.path = path
        self.metrics = (load_metric("psnr"), load_metric("lr_psnr"))

    def train(self, model, out, *changes, **others):
        """The weights file. ``others`` are fields of the request; by default it starts from ``start``."""
        return TRAINERS[model](self.request(model, out, *changes, **others))

    def go_on(self, out, device="cpu"):
        """As ``srbench train --resume``."""
        model, request = resumed(self.path / out, device, self.metrics)
        return TRAINERS[model](request)

    def request(self, model, out, *changes, **others):
        fields = {
            "preset": str(self.path / f"{model}.toml"),
            "data": (self.path / "data",),
            "out": self.path / out,
            "changes": changes,
            "start": self.path / first / "weights.safetensors" if (first := FIRST.get(model)) else None,
            "metrics": self.metrics,
        }
        return TrainingRequest(**fields | others)

    def fork(self, model, out, *changes, ranks=1, before=None):
        """Process ids of the same training in processes of its own, one a rank; their state is saved at the end."""
        port = _free_port()
        return [
            _forked(lambda rank=rank: self._as_rank(rank, ranks, port, before, model, out, *changes))
            for rank in range(ranks)
        ]

    def _as_rank(self, rank, ranks, port, before, model, out, *changes):
        PartialState._reset_state()
        AcceleratorState._reset_state(True)
        if ranks > 1:
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks)}
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        if before is not None:
            before()
        _record_state(self.path / f"{out}-rank{rank}.pt")
        self.train(model, out, *changes)

    @staticmethod
    def ended(pids):
        """Exit codes; minus the signal where one ended the process, as after a quarter of an hour."""
        late = [threading.Timer(900, os.kill, (pid, signal.SIGKILL)) for pid in pids]
        for timer in late:
            timer.start()
        codes = []
        for pid, timer in zip(pids, late, strict=True):
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            timer.cancel()
        return codes

    def losses(self, out, name=None):
        rows = TrainingLog(self.path / out / "train.csv").read()
        return rows if name is None else [row[name] for row in rows]

    def wait_for_steps(self, out, steps):
        deadline = time.monotonic() + 600
        while len(self.losses(out)) < steps:
            assert time.monotonic() < deadline
            time.sleep(0.005)


def _record_state(path):
    """Let every ``fit`` of this process leave the learners' state at ``path``."""
    from srbench.training.loop import Training

    fit = Training.fit

    def recorded(self, learners, *rest):
        found = fit(self, learners, *rest)
        torch.save([learner.network.state_dict() for learner in learners], path)
        return found

    Training.fit = recorded


def _forked(work):
    """A copy of this process, with all that it has imported."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        work()
        code = 0
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="session")
def trainings(tmp_path_factory, own_cache):
    path = tmp_path_factory.mktemp("training")
    generator = torch.Generator().manual_seed(0)
    for i in range(3):
        small = torch.rand(1, 3, 6, 6, generator=generator)
        smooth = torch.nn.functional.interpolate(small, 48, mode="bicubic")[0].clamp(0, 1)
        write_png(path / "data" / f"{i}.png", (smooth * 255).byte())
    for name, text in PRESETS.items():
        (path / f"{name}.toml").write_text(text)
    trainings = Trainings(path)
    trainings.train("rrdb", "start", "training.steps=60")
    trainings.train("srflow", "first-stage", "training.steps=25")
    return trainings


@pytest.fixture
def until(trainings, monkeypatch):
    """Trains up to the checkpoint of a step, and returns the folder."""

    def train(model, out, step, *changes, **others):
        save = TrainingFolder.save

        def stopping(self, state, done):
            save(self, state, done)
            if done == step:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(TrainingFolder, "save", stopping)
            with pytest.raises(KeyboardInterrupt):
                trainings.train(model, out, *changes, **others)
        return trainings.path / out

    return train


@pytest.fixture(autouse=True)
def vgg(monkeypatch):
    for trainer in ("baselines.train", "srflow.training.second_stage"):
        monkeypatch.setattr(f"{trainer}.load_vgg", small_vgg)
