"""A request: the options of a command line or call as data, with their limits.
Nothing that they name is opened here.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, TypeVar

from msgspec import Meta

from srbench.interfaces import LARGEST_SEED
from srbench.models import SMALLEST_TILE
from srbench.run_folder.limits import (
    AVERAGES,
    DEVICES,
    LARGEST_COUNT,
    SAMPLES,
    SUITE,
    Average,
    is_device,
    parse_shard,
)

T = TypeVar("T")
Count = Annotated[int, Meta(ge=1, le=LARGEST_COUNT)]
Scale = Count
"""1 for restoration, such as denoising, where LR is as large as HR."""
Seed = Annotated[int, Meta(ge=0, le=LARGEST_SEED)]
Tile = Annotated[int, Meta(ge=SMALLEST_TILE, le=LARGEST_COUNT)]
OneOrMore = Annotated[tuple[T, ...], Meta(min_length=1)]

PHOTOS = "photos"
"""Default dataset."""
IMAGES, GROUPS = AVERAGES


@dataclass(frozen=True)
class RunSpec:
    """The request of ``srbench run``."""

    models: OneOrMore[str]
    scale: Scale
    data: str | None = PHOTOS
    """A registered dataset, a benchmark set or a folder of HR images; None if ``lr`` is given."""
    hr: str | None = None
    lr: str | None = None
    """Folder of LR images, paired with ``hr`` if given."""
    limit: Count | None = None
    crop: Count | None = None
    degrade: str | None = None
    """Degradation that makes LR from HR, a name or a TOML file; None: the dataset's own LR."""
    suite: str = SUITE
    """Name of a suite, or its TOML file."""
    metrics: OneOrMore[str] | None = None
    """Names of metrics; None: those of the suite."""
    average: Average = IMAGES
    """IMAGES, or GROUPS to average the images of a group first."""
    temperature: OneOrMore[float] | None = None
    """Temperatures of models that sample; None: the one stated in each model's weights, else TEMPERATURE."""
    samples: Count = SAMPLES
    seed: Seed = 0
    device: str = "auto"
    """A value of DEVICES."""
    tile: Tile | None = None
    out: str | None = None
    shard: str | None = None
    """``2/8``: the second of eight parts of the images; None: all."""
    again: tuple[str, ...] = ()
    """Labels of models to run again even if the folder has their outputs."""

    def __post_init__(self) -> None:
        """Raise ValueError for a temperature, a device or a shard that is none."""
        for temperature in self.temperature or ():
            if not 0 <= temperature < math.inf:
                raise ValueError(f"{temperature} is not a temperature; it has to be 0 or more")
        if not is_device(self.device):
            raise ValueError(f"device is {self.device!r}; choose one of {', '.join(DEVICES)}")
        parse_shard(self.shard)

    @property
    def names_data(self) -> bool:
        """False if the dataset was passed as a Python object."""
        return self.data is not None or self.lr is not None

    def command(self) -> str:
        """Return the command that makes this run, without ``--again`` and options at their defaults."""
        words = ["srbench", "run"]
        default = RunSpec(models=(), scale=0)
        for name, value in asdict(self).items():
            if value == getattr(default, name) or value is None or name == "again":
                continue
            words += [f"--{name}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
        return shlex.join(words)

    def chosen(self, images: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names of the requested images: the first ``limit`` of the dataset, or their shard."""
        number, parts = parse_shard(self.shard)
        return images[: self.limit][number - 1 :: parts]


def dataset_titles(data: Sequence[str]) -> dict[str, str]:
    """Return the shortest unique ends of paths as names of datasets: ``set5``, ``a-images`` and ``b-images``.

    A folder called HR or GT is named after its parent, unless two datasets would then have the same path.
    """
    parts = {text: re.sub("[^A-Za-z0-9._/+-]", "-", text).removesuffix("/").split("/") for text in data}
    around = {text: _without_hr(own) for text, own in parts.items()}
    if len(set(map(tuple, around.values()))) == len(around):
        parts = around
    titles = {}
    for text, own in parts.items():
        length = 1
        while length < len(own) and sum(own[-length:] == other[-length:] for other in parts.values()) > 1:
            length += 1
        titles[text] = "-".join(own[-length:]).lstrip(".-") or "data"
    return titles


def _without_hr(parts: list[str]) -> list[str]:
    *around, last = parts
    is_named = bool(around) and around[-1] not in ("", ".", "..")
    return around if is_named and last.upper() in ("HR", "GT") else parts
