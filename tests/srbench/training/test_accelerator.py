"""The device that was asked for is the device of the training, or there is none."""

from types import SimpleNamespace

import pytest
import torch

from srbench.machine.trackers import TrackerError
from srbench.training import TrainingError, accelerator
from srbench.training.accelerator import accelerator_on

MISSING = ["mps" if torch.cuda.is_available() else "cuda", "cuda:9", "xpu"]


@pytest.mark.parametrize("device", MISSING)
def test_a_device_that_is_not_there_is_an_error(device, tmp_path):
    with pytest.raises(TrainingError, match=f"device {device} is not available here"):
        accelerator_on(device, None, tmp_path)


@pytest.mark.parametrize(
    ("device", "processes", "expected"),
    [
        ("cpu", 1, "cpu"),
        ("cpu", 2, "cpu"),
        ("cuda", 1, "cuda"),
        ("cuda:1", 1, "cuda:1"),
        ("cuda", 2, "cuda"),
        ("cuda:1", 2, "device cuda:1 is a single GPU; with several processes, name cuda"),
        ("mps", 1, "device mps is not available here; use cuda"),
        ("gpu", 1, "device 'gpu' is unknown; use cpu, cuda, mps, or a single GPU such as cuda:1"),
    ],
)
def test_the_device_is_the_one_asked_for(device, processes, expected, tmp_path, monkeypatch):
    """On a machine with two GPUs."""
    monkeypatch.setattr(accelerator.torch, "empty", lambda *size, device: None)
    monkeypatch.setattr(
        accelerator,
        "Accelerator",
        lambda cpu, **options: SimpleNamespace(device=torch.device("cpu" if cpu else "cuda"), num_processes=processes),
    )
    if " " in expected:
        with pytest.raises(TrainingError, match=expected):
            accelerator_on(device, None, tmp_path)
    else:
        assert accelerator_on(device, None, tmp_path)[1] == torch.device(expected)


def test_a_tracker_that_is_not_installed_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("srbench.machine.trackers.find_spec", lambda name: None)
    with pytest.raises(TrackerError, match="--log-with wandb needs the package wandb; pip install wandb"):
        accelerator_on("cpu", "wandb", tmp_path)
