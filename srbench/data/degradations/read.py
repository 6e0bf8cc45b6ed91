"""Read degradations: TOML files with steps, a name, a version and a seed.

bicubic                     a packaged degradation (``srbench list degradations``)
path/to/mine.toml           your own file
real-esrgan+seed=1          other random numbers

The generator of an image is seeded by the degradation, its seed, the scale and the pixels of HR, so an LR image depends
neither on the order of images nor on other images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor

from srbench.data import DataError
from srbench.data.datasets import Derived
from srbench.data.degradations.bsrgan import Shuffle
from srbench.data.degradations.steps import (
    Blur,
    Downscale,
    Finish,
    Grain,
    Jpeg,
    Kernel,
    Noise,
    Rescale,
    Sharpen,
    Step,
    rounded,
)
from srbench.files.config import ConfigError, load_preset, preset_names, structure
from srbench.files.hashes import sha256_bytes
from srbench.images.io import quantize_round
from srbench.interfaces import Dataset, ImagePair
from srbench.words import unknown

_KINDS = Blur, Noise, Jpeg, Downscale, Sharpen, Kernel, Rescale, Grain, Finish, Shuffle
STEPS: dict[str, type[Step]] = {kind.__name__.lower(): kind for kind in _KINDS}
"""Steps by the kind that a file names."""

_ONE_STEP = "exactly one step of kind downscale, finish or shuffle"
_FOLDER = files("srbench.data.degradations")


@dataclass(frozen=True)
class _File:
    """Content of a degradation file."""

    name: str
    version: int
    """Incremented whenever any LR image would change."""
    steps: tuple[dict[str, Any], ...]
    seed: int = 0
    about: str = ""
    """One line for ``srbench list degradations``."""


@dataclass(frozen=True)
class Degradation:
    """Steps from HR to LR."""

    name: str
    version: int
    steps: tuple[Step, ...]
    seed: int = 0
    about: str = ""

    @property
    def key(self) -> str:
        """All that determines LR: ``mine@1: blur sigma 0.2..2 | downscale by matlab (seed 0)``."""
        steps = " | ".join(step.key for step in self.steps)
        return f"{self.name}@{self.version}: {steps} (seed {self.seed})"

    @property
    def words(self) -> str:
        """All steps in one line: ``mine@1: blur sigma 0.2 to 2, downscale by matlab; random seed 0``."""
        steps = ", ".join(step.words for step in self.steps)
        return f"{self.name}@{self.version}: {steps}; random seed {self.seed}"

    def __call__(self, hr: Tensor, scale: int) -> Tensor:
        """Map HR (3, s*h, s*w) uint8 to LR (3, h, w) uint8. Raises DataError for sizes that a step cannot take."""
        size = hr.shape[-2] // scale, hr.shape[-1] // scale
        pixels = sha256_bytes(hr.contiguous().numpy().tobytes())
        start = hashlib.sha256(f"{self.key} x{scale} {pixels}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(start[:8], "big") >> 1)
        image = hr
        for step in self.steps:
            image = step(image, size, generator)
        return rounded(image)


def degradation_names() -> list[str]:
    """Return the names of the packaged degradations, sorted."""
    return preset_names(_FOLDER)


def read_degradation(text: str) -> Degradation:
    """Read a packaged degradation by name, or a TOML file; ``+seed=N`` replaces its seed and becomes part of its name.

    Raises DataError for a file with the name of a packaged degradation, without steps or with several that downscale,
    and for a seed that is no whole number; ConfigError for an unknown name or an invalid file.
    """
    text, plus, seed = text.partition("+seed=")
    file = load_preset(_FOLDER, text, _File, kind="degradation")
    steps = tuple(_step(table, f"{text}: steps[{index}]") for index, table in enumerate(file.steps))
    degradation = Degradation(file.name, file.version, steps, file.seed, file.about)
    if text.endswith(".toml") and degradation.name in degradation_names():
        raise DataError(f"{text}: {degradation.name} is a packaged degradation; rename yours")
    if not degradation.name or set(degradation.name) & set("+@:|/\\\n"):
        raise DataError(f"{text}: a degradation needs a name without +, @, :, | and /")
    if not steps or sum(step.downscales for step in steps) > 1:
        raise DataError(f"{text}: needs {_ONE_STEP}, or for scale 1 only steps that keep the size")
    if not plus:
        return degradation
    if not seed.isdecimal():
        raise DataError(f"{text}{plus}{seed}: the seed is no whole number from 0; write {text}+seed=1")
    return replace(degradation, name=f"{degradation.name}+seed={int(seed)}", seed=int(seed))


def degraded(whole: Dataset, scale: int, degradation: Degradation) -> Dataset:
    """Replace the LR images of a dataset by degraded HR.

    Raises DataError if a step resizes images at scale 1, or no step downscales them at another scale.
    """
    name, steps = degradation.name, degradation.steps
    if scale > 1 and not any(step.downscales for step in steps):
        raise DataError(f"degradation {name} keeps the size, for scale 1; for scale {scale} add {_ONE_STEP}")
    resizing = [type(step).__name__.lower() for step in steps if step.downscales or isinstance(step, Rescale)]
    if scale == 1 and resizing:
        raise DataError(
            f"degradation {name} has the step {resizing[0]}, but scale 1 keeps the size; write a file with steps such "
            "as blur, noise and jpeg alone"
        )
    return Derived(
        whole, partial(_with_lr, scale, degradation), degradation.key, f"made from HR by {degradation.words}"
    )


def _with_lr(scale: int, degradation: Degradation, pair: ImagePair) -> ImagePair:
    return replace(pair, lr=degradation(quantize_round(pair.hr), scale).float() / 255)


def _step(table: Mapping[str, Any], source: str) -> Step:
    kind = table.get("kind")
    if not isinstance(kind, str):
        raise ConfigError(f"{source}: kind is missing; a step has one of {', '.join(STEPS)}")
    if kind not in STEPS:
        raise ConfigError(f"{source}: {unknown('kind of step', kind, STEPS)}")
    return structure({key: value for key, value in table.items() if key != "kind"}, STEPS[kind], f"{source}: {kind}")
