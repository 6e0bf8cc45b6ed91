"""Experiment trackers that this machine may have: those of Accelerate that trainings and reports use."""

from __future__ import annotations

from importlib.util import find_spec

from srbench.interfaces import SRBenchError

TRACKERS = ("tensorboard", "wandb", "trackio", "mlflow")

PROJECT = "srbench"
"""Project of trainings and reports in a tracker."""


class TrackerError(SRBenchError):
    """A tracker that is not installed, or that failed."""


def require_tracker(name: str) -> None:
    """Raise TrackerError if the package of a tracker is not installed."""
    if find_spec(name) is None:
        raise TrackerError(f"--log-with {name} needs the package {name}; pip install {name}")


def settings_of(name: str, first_step: int) -> dict[str, dict[str, object]]:
    """Return what Accelerate passes to each tracker for a run;
    TensorBoard drops numbers of ``first_step`` and later.
    """
    named: dict[str, object] = {"name": name}
    return {
        "tensorboard": {"purge_step": first_step},
        "wandb": named,
        "trackio": named,
        "mlflow": {"run_name": name},
    }
