"""The vocabulary of srbench: images, models, metrics, datasets, and the error a user can cause.

Every image is RGB float32 in [0, 1], channels first. ``n`` counts samples, ``s`` is the scale, ``h, w`` is the
size of the low-resolution (LR) image and ``H, W = s*h, s*w`` that of the high-resolution (HR) one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:  # the command line reads this module before it may load torch
    import torch
    from torch import Tensor

LARGEST_SEED = 2**63 - 1
"""Of every random generator of torch."""
SMALLEST_TILE = 16
"""Side of the smallest tile that can be asked for, in LR pixels."""
MOST_DIGITS = 12
"""Decimals that a metric is printed with."""


class SRBenchError(Exception):
    """A fault of the input. Its text is one line: what was given, what is allowed, what to do."""


@dataclass(frozen=True)
class ImagePair:
    """One benchmark image: what a model is given and what it should have found."""

    name: str
    """File name without its ending: the key by which results and images are paired."""
    lr: Tensor
    """(3, h, w) in [0, 1], a multiple of 1/255."""
    hr: Tensor
    """(3, s*h, s*w) in [0, 1], a multiple of 1/255."""


@dataclass(frozen=True)
class Box:
    """A rectangle of an image, in pixels."""

    x: int
    y: int
    width: int
    height: int

    def __str__(self) -> str:
        """``x,y,width,height``, as it is typed."""
        return f"{self.x},{self.y},{self.width},{self.height}"

    def aligned(self, grid: int) -> Box:
        """The smallest box around this one with sides and corners that are multiples of ``grid``."""
        x, y = self.x - self.x % grid, self.y - self.y % grid
        right, bottom = -(-(self.x + self.width) // grid) * grid, -(-(self.y + self.height) // grid) * grid
        return Box(x, y, right - x, bottom - y)


@dataclass(frozen=True)
class WeightsInfo:
    """Where the numbers of a trained model come from; printed in every report."""

    sha256: str
    """Of the weights file."""
    licence: str
    """SPDX identifier, or a sentence where there is none."""
    trained_on: str
    """Data, number of steps and hardware."""
    parameters: int | None
    """How many numbers were trained; None where that is unknown."""
    losses: dict[str, list[float]] = field(default_factory=dict)
    """By name: the curve of a loss over the training, means of equal parts of its steps; empty where it is unknown."""


@dataclass(frozen=True)
class Step:
    """Progress: what callers of the library and the terminal are told."""

    done: int
    """Items, of ``total``."""
    total: int
    what: str
    """Setting and image that come next; empty at the end."""
    fault: str = ""
    """What has just failed, in one line."""
    share: float | None = None
    """Share of the work that is done, where it tells the pace (see ``Session.image_done``); None: ``done / total``."""


Progress = Callable[[Step], None]


def silent(step: Step) -> None:
    """Say nothing."""


class SRModel(Protocol):
    """Maps an LR image to one HR image, always the same."""

    scale: int

    def __call__(self, lr: Tensor) -> Tensor:
        """(n, 3, h, w) in [0, 1] -> (n, 3, s*h, s*w), not clamped."""
        ...


@runtime_checkable
class StochasticSRModel(Protocol):
    """Draws HR images that fit an LR image."""

    scale: int

    def sample(self, lr: Tensor, n: int, *, temperature: float, generator: torch.Generator) -> Tensor:
        """(3, h, w) in [0, 1] -> (n, 3, s*h, s*w), not clamped. The generator lives on the CPU."""
        ...


@runtime_checkable
class TiledSRModel(StochasticSRModel, Protocol):
    """Draws from one latent for the whole image, but computes it piece by piece."""

    def sample_in_tiles(
        self, lr: Tensor, n: int, *, temperature: float, generator: torch.Generator, tile: int
    ) -> Tensor:
        """As ``sample``, and the same images up to rounding, in memory for about ``tile`` x ``tile`` LR pixels."""
        ...


@runtime_checkable
class EditableSRModel(StochasticSRModel, Protocol):
    """Can change an HR image so that it still fits its LR image."""

    edit_grid: int
    """Boxes have to be aligned to so many HR pixels."""

    def transfer_style(self, hr: Tensor, lr: Tensor, source: Box, target: Box, *, temperature: float) -> Tensor:
        """HR (3, s*h, s*w) with the texture at ``source`` also at ``target``, to fit LR (3, h, w); not clamped.

        The temperature multiplies the moved texture: 1 leaves it as strong as it was. Both boxes lie in the image and
        on the grid; a last column or row of the grid may reach beyond the image.
        """
        ...

    def transfer_content(
        self, hr: Tensor, lr: Tensor, pasted: Tensor, mask: Tensor, *, temperature: float, generator: torch.Generator
    ) -> Tensor:
        """HR (3, s*h, s*w) with what ``pasted`` shows where the mask (s*h, s*w) is 1, to fit LR (3, h, w); not clamped.

        ``pasted`` is as large as HR and equal to it outside the mask. The generator lives on the CPU.
        """
        ...

    def restore(self, hr: Tensor, lr: Tensor, *, temperature: float, generator: torch.Generator) -> Tensor:
        """HR (3, s*h, s*w) without its noise, to fit LR (3, h, w); not clamped. The generator lives on the CPU."""
        ...


@runtime_checkable
class PrecomputedResults(Protocol):
    """HR images made elsewhere and found by the name of the benchmark image."""

    scale: int

    def read(self, name: str) -> Tensor:
        """Name of an image -> (n, 3, s*h, s*w) in [0, 1]. Raises SRBenchError where it is missing or damaged."""
        ...

    def digest(self, name: str) -> str:
        """sha256 of the file behind a name. Raises SRBenchError where it is missing."""
        ...


Model = SRModel | StochasticSRModel | PrecomputedResults
"""Everything that gives outputs to measure."""


@runtime_checkable
class Weighted(Protocol):
    """A model that can say which weights it carries."""

    weights: WeightsInfo


class Metric(Protocol):
    """One column of the table. Direction, unit and protocol are facts of the metric.

    Further facts may be left out, and then have the value in brackets:

    ``signature: str`` (empty)
        The protocol in a few words, without the name: ``RGB|floor|crop0|v1``; docs/protocols.md has the scheme.
    ``parameters: tuple[Path, ...]`` (empty)
        The files whose bytes determine the values.
    ``fingerprint: str`` (empty)
        Digest of what else does, such as weights that another package has loaded.
    ``unquantised: bool`` (False)
        Does it see the samples as the model returned them, and not the 8-bit images that are written to disk?
    ``sees_uint8: bool`` (False)
        Are the 8-bit images that it sees uint8, and not float32 in [0, 1]?
    ``needs_lr: bool`` (False)
        Does it compare with the LR image?
    ``of_model: bool`` (False)
        Is it of the model, and not of its images? Then it has ``of`` too: see ``srbench.metrics.cost``.
    Its class or function may take ``quantize``, how the 8-bit images came about (``floor`` or ``round``), and other
    parameters with defaults, which a suite can set: ``psnr+channels=Y``.
    """

    name: str
    """Key in files: ``lr_psnr``."""
    title: str
    """Column header: ``LR-PSNR``."""
    higher_is_better: bool
    unit: str
    """``dB``, ``grey levels`` or empty."""
    digits: int
    """Decimals worth printing."""
    protocol: str
    """One line that says exactly what is computed, quantisation and channels included."""

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """(n, 3, H, W) in [0, 1] and the pair -> (n,) one value per sample, or () one for the set.

        Samples are multiples of 1/255, or as the model returned them where the metric is ``unquantised``.
        """
        ...


@dataclass(frozen=True)
class MetricFacts:
    """A column of the table."""

    name: str
    spec: str
    """How the user named it."""
    title: str
    higher_is_better: bool
    unit: str
    digits: int
    protocol: str
    """One line that lets a stranger compute the same number."""
    signature: str
    """The same in a few words: ``PSNR|RGB|floor|crop0|v1``. Equal signatures mean comparable numbers."""
    digest: str
    """sha256 of its code and parameters."""


class Dataset(Protocol):
    """Named benchmark images. Reading one may fail without harm to the others."""

    name: str

    def __len__(self) -> int:
        """How many images."""
        ...

    def __iter__(self) -> Iterator[str]:
        """Their names, in order."""
        ...

    def read(self, name: str) -> ImagePair:
        """Decode one pair. Raises SRBenchError that names the file."""
        ...

    def digest(self, name: str) -> str:
        """sha256 of all that determines the pair: the files' bytes, scale and crop."""
        ...


@dataclass(frozen=True)
class TrainingRequest:
    """What is asked of ``srbench train NAME``."""

    preset: str
    """Name of a preset of the model, or a TOML file."""
    data: tuple[Path, ...]
    """Folders of HR images."""
    out: Path
    """Folder of the training; one that is there already is gone on with."""
    changes: tuple[str, ...] = ()
    """Values in place of the preset's, as typed: ``training.learning_rate=1e-4``."""
    lr: tuple[Path, ...] = ()
    """Folders of LR images, paired with HR by name; without, LR is made from HR."""
    validation: Path | None = None
    """Folder of HR images to validate on; without, some images of the data are held out."""
    start: Path | None = None
    """Weights to start from."""
    device: str = "cpu"
    metrics: tuple[Metric, ...] = ()
    """What validation measures; the preset names one of them that chooses the best weights."""
    tensorboard: bool = False
    """Write losses, metrics and images for TensorBoard as well."""


class Trainer(Protocol):
    """What stands behind ``srbench train NAME``."""

    def __call__(self, request: TrainingRequest) -> Path:
        """Train or resume, return the weights file. Raises SRBenchError for unusable input."""
        ...


class Converter(Protocol):
    """Reads the official checkpoints of one model: what stands behind ``srbench convert``."""

    def __call__(
        self, tensors: Mapping[str, Tensor], preset: str | None
    ) -> tuple[dict[str, Tensor], dict[str, str]] | None:
        """Tensors under their official names -> those of a weights file, and its metadata but for licence and training.

        Returns None for a checkpoint that is not of this model, or never belongs to this preset. Without a preset it is
        found by the checkpoint's size. Raises SRBenchError for a checkpoint of this model that does not fit the preset.
        """
        ...
