"""The commands of training: what they pass on, and how one that trains is stopped and resumed."""

import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from builders import wait_for_lines
from small_presets import PRESETS

import srbench.plugins.registry


@pytest.fixture
def requests(monkeypatch):
    """What trainers are asked for."""
    asked = []

    def trainer(request):
        asked.append(request)
        return request.out / "weights.safetensors"

    find_plugin = srbench.plugins.registry.find_plugin

    def find(kind, name):
        if kind != "trainers":
            return find_plugin(kind, name)
        asked.append(name)
        return SimpleNamespace(factory=trainer)

    monkeypatch.setattr(srbench.plugins.registry, "find_plugin", find)
    return asked


def test_every_option_reaches_the_trainer(srbench, requests):
    found = srbench(
        "train",
        "rrdb",
        "--preset",
        "mini-x8",
        "--set",
        "training.steps=3",
        "--set",
        "storage=float32",
        "--hr",
        "d",
        "--hr",
        "e",
        "--lr",
        "l",
        "--lr",
        "m",
        "--out",
        "o",
        "--start",
        "s",
        "--log-with",
        "tensorboard",
        "--device",
        "cpu",
    )
    assert (found.exit_code, found.stdout) == (0, "o/weights.safetensors\n")
    name, request = requests
    assert name == "rrdb"
    assert (request.preset, request.changes) == ("mini-x8", ("training.steps=3", "storage=float32"))
    assert (request.data, request.lr) == ((Path("d"), Path("e")), (Path("l"), Path("m")))
    assert (request.out, request.start, request.device) == (Path("o"), Path("s"), "cpu")
    assert request.log_with == "tensorboard"
    assert [metric.info.name for metric in request.metrics] == ["psnr", "lr_psnr", "lpips", "lpips_energy"]


def test_the_folder_is_named_after_model_and_preset(srbench, requests):
    srbench("train", "rrdb", "--preset", "mini-x8", "--data", "d", "--validation", "v")
    srbench("train", "rrdb", "--preset", "mine/own.toml", "--data", "d")
    assert [request.out for request in requests[1::2]] == [Path("runs/rrdb-mini-x8"), Path("runs/rrdb-own")]
    assert requests[1].validation == Path("v")


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("--resume", "r", "--set", "training.steps=3"), "--resume takes everything else from the training folder"),
        (("rrdb", "--resume", "r"), "--resume takes everything else from the training folder"),
        (("rrdb", "--preset", "p", "--data", "d", "--lr", "l"), "or --hr DIR and --lr DIR, paired by file name"),
        (("rrdb", "--preset", "p", "--hr", "d"), "Give --data DIR, from which LR is made, or --hr DIR and --lr DIR"),
        (("rrdb", "--data", "d"), "Give a model, --preset, and --data"),
        (("--preset", "mini-x8", "--data", "d"), "Give a model, --preset, and --data"),
        (("rrdb", "--preset", "p", "--hr", "d", "--lr", "l", "--validation", "v"), "--lr and --validation exclude"),
    ],
)
def test_what_does_not_go_together(srbench, arguments, fault):
    found = srbench("train", *arguments)
    assert found.exit_code == 2
    assert fault in found.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("heeded_interrupts")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_stopped_at_any_step_it_resumes_there(photos, tmp_path, number, code):
    (tmp_path / "small.toml").write_text(PRESETS["rrdb"])
    command = [sys.executable, "-m", "srbench", "train", "rrdb", "--preset", tmp_path / "small.toml", "--data", photos]
    for name, value in {"steps": 10**6, "validate_every": 10**6, "checkpoint_every": 10**6, "patch": 16}.items():
        command += ["--set", f"training.{name}={value}"]
    journal, steps = tmp_path / "out" / "train.csv", 0
    for _ in range(2):
        process = subprocess.Popen([*command, "--out", tmp_path / "out"], stderr=subprocess.PIPE, text=True)
        wait_for_lines(journal, steps + 5, process)
        process.send_signal(number)
        err = process.communicate(timeout=300)[1].strip().splitlines()[-1]
        begun, steps = steps, torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)["step"]
        assert begun < steps == journal.read_text().count("\n") - 1
        assert (process.returncode, err) == (
            code,
            f"srbench: interrupted; the training is saved up to step {steps} of 1000000. Rerun the same command to "
            "resume.",
        )


def test_a_fault_of_an_own_trainer_is_one_line(srbench, tmp_path):
    (tmp_path / "own.py").write_text("def train(request):\n    return request.nothing\n")
    found = srbench("train", f"{tmp_path}/own.py:train", "--preset", "p", "--data", tmp_path)
    assert found.exit_code == 1
    said = "own.py:train failed: AttributeError: 'TrainingRequest' object has no attribute 'nothing' (own.py line 2)"
    assert said in found.stderr
    assert found.stderr.count("\n") == 1
