"""A request: the options of a command line or call as data. Nothing that they name is opened here."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from srbench.interfaces import LARGEST_SEED
from srbench.models import SMALLEST_TILE
from srbench.run_folder import RunFolderError

PHOTOS = "photos"
"""Default dataset."""
SUITE = "srflow"
"""Default suite."""
SAMPLES = 5
"""Samples per image, unless the command or the suite states a number."""
DEVICES = ("auto", "cpu", "cuda", "cuda:N", "mps")
"""Values of ``--device``; N is the number of a single GPU."""
IMAGES, GROUPS = AVERAGES = ("images", "groups")
"""Values of ``--average``: what means, intervals and tests are over."""


@dataclass(frozen=True)
class RunSpec:
    """The request of ``srbench run``."""

    models: tuple[str, ...]
    scale: int
    data: str | None = PHOTOS
    """A registered dataset, a benchmark set or a folder of HR images; None if ``lr`` is given."""
    hr: str | None = None
    lr: str | None = None
    """Folder of LR images, paired with ``hr`` if given."""
    limit: int | None = None
    crop: int | None = None
    degrade: str | None = None
    """Degradation that makes LR from HR, a name or a TOML file; None: the dataset's own LR."""
    suite: str = SUITE
    """Name of a suite, or its TOML file."""
    metrics: tuple[str, ...] | None = None
    """Names of metrics; None: those of the suite."""
    average: str = IMAGES
    """IMAGES, or GROUPS to average the images of a group first."""
    temperature: tuple[float, ...] | None = None
    """Temperatures of models that sample; None: the one stated in each model's weights, else TEMPERATURE."""
    samples: int = SAMPLES
    seed: int = 0
    device: str = "auto"
    tile: int | None = None
    out: str | None = None
    shard: str | None = None
    """``2/8``: the second of eight parts of the images; None: all."""
    again: tuple[str, ...] = ()
    """Labels of models to run again even if the folder has their outputs."""

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

    def checked(self, where: str) -> RunSpec:
        """Return the request itself if its values are valid, else raise RunFolderError, beginning with ``where``."""
        smallest_values = {"scale": 2, "limit": 1, "crop": 1, "samples": 1, "seed": 0, "tile": SMALLEST_TILE}
        for name, smallest in smallest_values.items():
            value = getattr(self, name)
            if value is not None and not smallest <= value <= LARGEST_SEED:
                allowed = f"{smallest} or more" if value < smallest else f"at most {LARGEST_SEED}"
                raise RunFolderError(f"{where}: {name} is {value}; it has to be {allowed}")
        for temperature in self.temperature or ():
            if not 0 <= temperature < math.inf:
                raise RunFolderError(f"{where}: {temperature} is not a temperature; it has to be 0 or more")
        if not is_device(self.device):
            raise RunFolderError(f"{where}: device is {self.device!r}; choose one of {', '.join(DEVICES)}")
        if self.average not in AVERAGES:
            raise RunFolderError(f"{where}: average is {self.average!r}; choose one of {', '.join(AVERAGES)}")
        try:
            parse_shard(self.shard)
        except ValueError as error:
            raise RunFolderError(f"{where}: {error}") from None
        if self.shard is not None and self.out is None:
            raise RunFolderError(f"{where}: a shard needs a folder of its own; name it with --out")
        for name in ("metrics", "temperature"):
            if getattr(self, name) == ():
                raise RunFolderError(f"{where}: {name} is empty; name at least one")
        return self

    def chosen(self, images: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names of the requested images: the first ``limit`` of the dataset, or their shard."""
        number, parts = parse_shard(self.shard)
        return images[: self.limit][number - 1 :: parts]


def is_device(text: str) -> bool:
    """Return whether a text is one of DEVICES."""
    return re.sub(r"^cuda:\d+$", "cuda:N", text) in DEVICES and text != "cuda:N"


def parse_shard(text: str | None) -> tuple[int, int]:
    """Parse ``2/8``, the second of eight parts of the images, to (2, 8); None means 1/1. Raises ValueError."""
    if text is None:
        return 1, 1
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f"{text!r} is not a shard; give 1/4 to 4/4 for a run in four parts")
    return int(match[1]), int(match[2])


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
