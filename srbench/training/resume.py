"""From the folder of a training to the request that goes on with it."""

from __future__ import annotations

from pathlib import Path

from srbench.interfaces import Metric, TrainingRequest
from srbench.training.folder import PRESET, read_request


def resumed(run: Path, device: str, metrics: tuple[Metric, ...]) -> tuple[str, TrainingRequest]:
    """The model of the training in the folder ``run``, and what to ask of its trainer.

    The preset is the one in the folder, so a newer version of srbench with other presets goes on alike.
    Raises TrainingError where the folder holds no training.
    """
    model, asked = read_request(run)
    request = TrainingRequest(
        preset=str(run / PRESET),
        data=tuple(map(Path, asked["data"])),
        out=run,
        lr=tuple(map(Path, asked["lr"])),
        validation=None if asked["validation"] is None else Path(asked["validation"]),
        start=None if asked["start"] is None else Path(asked["start"]),
        device=device,
        metrics=metrics,
        tensorboard=bool(asked["tensorboard"]),
    )
    return model, request
