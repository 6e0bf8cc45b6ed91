"""Degradations: how LR is made from HR, as a TOML file of steps with a name, a version and a seed.

bicubic                     one that comes with srbench (``srbench list degradations``)
path/to/mine.toml           one of your own

Whatever a step draws for an image comes from a generator that starts from the degradation, the scale and the pixels of
that HR image: neither order nor company changes an LR image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from srbench.data import DataError
from srbench.data.degradations.steps import STEPS, Downscale, Step
from srbench.images.io import quantize_round
from srbench.interfaces import Dataset, ImagePair
from srbench.system.config import ConfigError, load_toml, preset_names, register, structure
from srbench.system.file_names import unknown

DEFAULT = "bicubic"
_FOLDER = files("srbench.data.degradations")


@dataclass(frozen=True)
class Degradation:
    """What a degradation's file says."""

    name: str
    version: int
    """Rises when any LR image would change."""
    steps: tuple[Step, ...]
    """One after the other; one of them downscales."""
    seed: int = 0
    about: str = ""
    """What it is like, in a line."""

    @property
    def words(self) -> str:
        """All that it does, in a line: ``mine@1: blur sigma 0.2..2 | downscale by matlab (seed 0)``."""
        steps = " | ".join(step_words(step) for step in self.steps)
        return f"{self.name}@{self.version}: {steps} (seed {self.seed})"

    def __call__(self, hr: Tensor, scale: int) -> Tensor:
        """HR (3, s*h, s*w) uint8 -> LR (3, h, w) uint8. Raises DataError where a library is not here."""
        size = hr.shape[-2] // scale, hr.shape[-1] // scale
        pixels = hashlib.sha256(hr.contiguous().numpy().tobytes()).hexdigest()
        start = hashlib.sha256(f"{self.words} x{scale} {pixels}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(start[:8], "big") >> 1)
        image = hr
        for step in self.steps:
            image = step(image, size, generator)
        return image


def step_words(step: Step) -> str:
    """``noise sigma 1..10``: what a step is called and what it was given."""
    kind = next(kind for kind, cls in STEPS.items() if type(step) is cls)
    given = [f"{name.replace('_', ' ')} {_short(value)}" for name, value in asdict(step).items() if value is not None]
    return " ".join([kind, *given])


def _short(value: Any) -> str:  # noqa: ANN401 - any value of a step
    if isinstance(value, tuple) and not isinstance(value[0], str):
        return f"{value[0]:g}..{value[1]:g}" if value[0] != value[1] else f"{value[0]:g}"
    return "/".join(value) if isinstance(value, tuple) else str(value)


def degradation_names() -> list[str]:
    """Those that come with srbench, sorted."""
    return preset_names(_FOLDER)


def read_degradation(text: str) -> Degradation:
    """The degradation of a name, or of a TOML file.

    Raises DataError where there is none, where not exactly one step downscales, and where a file takes the name
    of one that comes with srbench; ConfigError for what is no degradation.
    """
    if not text.endswith(".toml"):
        if text not in degradation_names():
            raise DataError(f"{unknown('degradation', text, degradation_names())}; or name a TOML file")
        return load_toml(_FOLDER / f"{text}.toml", Degradation)
    found = load_toml(Path(text), Degradation)
    if found.name in degradation_names():
        raise DataError(f"{text}: {found.name} is a degradation of srbench; give yours another name")
    if not found.name or set(found.name) & set("@:|/\\\n"):
        raise DataError(f"{text}: a degradation needs a name without @, :, | and /")
    if sum(isinstance(step, Downscale) for step in found.steps) != 1:
        raise DataError(f"{text}: exactly one of its steps has to be of kind downscale")
    return found


class Degraded:
    """A dataset whose HR stays and whose LR is made by a degradation."""

    def __init__(self, whole: Dataset, scale: int, degradation: Degradation) -> None:
        self.name, self.whole, self.scale, self.degradation = whole.name, whole, scale, degradation
        self.lr_origin = f"made from HR by {degradation.words}"

    def __len__(self) -> int:
        """How many images."""
        return len(self.whole)

    def __iter__(self) -> Iterator[str]:
        """Their names, in order."""
        return iter(self.whole)

    def read(self, name: str) -> ImagePair:
        """Raises what the whole dataset raises, and DataError."""
        hr = self.whole.read(name).hr
        return ImagePair(name, self.degradation(quantize_round(hr), self.scale).float() / 255, hr)

    def digest(self, name: str) -> str:
        """Of the whole pair and all that the degradation does."""
        return hashlib.sha256(f"{self.whole.digest(name)} {self.degradation.words}".encode()).hexdigest()


def _read_step(value: object) -> Step:
    """A table with its kind -> the step. Raises ValueError that says what is wrong with it."""
    if not isinstance(value, Mapping) or not isinstance(value.get("kind"), str):
        raise ValueError("a step is a table with a kind")
    kind = value["kind"]
    if kind not in STEPS:
        raise ValueError(unknown("kind of step", kind, STEPS))
    try:
        step: Step = structure({key: one for key, one in value.items() if key != "kind"}, STEPS[kind], kind)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return step


register(Step, _read_step)
