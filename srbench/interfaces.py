"""The interfaces of plug-ins: images, models, metrics and datasets, and the error for unusable input.

Every image is RGB float32 in [0, 1], channels first. ``n`` counts samples, ``s`` is the scale, ``h, w`` is the
size of the low-resolution (LR) image, and ``H, W = s*h, s*w`` the size of the high-resolution (HR) image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, runtime_checkable

if TYPE_CHECKING:  # the command line reads this module before it may load torch
    import torch
    from torch import Tensor

LARGEST_SEED = 2**63 - 1
"""Largest seed of torch's generators."""
TEMPERATURE = 0.8
"""Default temperature of models that sample."""


class SRBenchError(Exception):
    """Unusable input. The message is one line: what was given, what is allowed, what to do."""


@dataclass(frozen=True, eq=False)
class ImagePair:
    """One benchmark image: the input of a model and, if the dataset has it, its ground truth.

    Two pairs are equal if they are the same object; compare their tensors by ``torch.equal``.
    """

    name: str
    """File name without its extension: the key by which results and images are paired."""
    lr: Tensor
    """(3, h, w) in [0, 1], a multiple of 1/255."""
    hr: Tensor = None  # type: ignore[assignment]  # metrics that need HR are never called without it
    """(3, s*h, s*w) in [0, 1], a multiple of 1/255; None in a dataset without HR."""
    uncropped: tuple[int, int] | None = field(default=None, kw_only=True)
    """Height and width of HR before it was cropped to a multiple of the scale; None if it was not cropped."""

    @property
    def has_hr(self) -> bool:
        """True if there is an HR image."""
        return self.hr is not None


class SRModel(Protocol):
    """Deterministic model: one HR image per LR image."""

    scale: int

    def __call__(self, lr: Tensor) -> Tensor:
        """(n, 3, h, w) in [0, 1] -> (n, 3, s*h, s*w), not clamped."""


@runtime_checkable
class StochasticSRModel(Protocol):
    """Stochastic model: samples HR images given an LR image."""

    scale: int

    def sample(self, lr: Tensor, n: int, *, temperature: float, generator: torch.Generator) -> Tensor:
        """(3, h, w) in [0, 1] -> (n, 3, s*h, s*w), not clamped. The generator lives on the CPU."""


@runtime_checkable
class TiledSRModel(StochasticSRModel, Protocol):
    """Samples large images in tiles."""

    def samples(
        self,
        lr: Tensor,
        n: int,
        *,
        temperature: float,
        generator: torch.Generator,
        tile: int | None,
        progress: Callable[[float], None],
    ) -> Iterator[Tensor]:
        """The samples of ``sample``, (3, s*h, s*w) each, one after another.

        With ``tile`` the same samples up to rounding, in squares of so many LR pixels and in memory for one sample;
        ``progress`` is called with the share of the work that was done since its last call.
        """


@runtime_checkable
class PrecomputedResults(Protocol):
    """HR images that were made elsewhere, looked up by the name of the benchmark image."""

    scale: int

    def read(self, name: str) -> Tensor:
        """Name of an image -> (n, 3, s*h, s*w) in [0, 1]. Raises SRBenchError for a missing or damaged file."""

    def digest(self, name: str) -> str:
        """SHA-256 of the files of an image. Raises SRBenchError if they are missing."""


Model = SRModel | StochasticSRModel | PrecomputedResults
"""Anything whose outputs can be measured."""


@dataclass(frozen=True)
class WeightsInfo:
    """Provenance of a trained model's weights, printed in every report."""

    sha256: str
    licence: str
    """SPDX identifier, or a sentence where there is none."""
    trained_on: str
    """Data, number of steps and hardware."""
    parameters: int | None
    """Number of trained parameters; None if unknown."""
    losses: dict[str, list[float]] = field(default_factory=dict)
    """Loss curves by name, as means over equal parts of the training; empty if unknown."""
    temperature: float | None = None
    """Temperature at which a model that samples is compared, chosen on validation images; None if none is stated."""


@runtime_checkable
class Weighted(Protocol):
    """A model that states the provenance of its weights."""

    weights: WeightsInfo


Group = Literal["Distortion", "Perception", "Consistency", "Diversity", "Cost", "Other"]
GROUPS: tuple[Group, ...] = get_args(Group)
"""Headings above the columns of the table, in order."""


@dataclass(frozen=True)
class MapFacts:
    """The error map of a metric: its value at every pixel of an output."""

    unit: str
    """What the value of a pixel means: ``distance to HR at every pixel``."""
    upper: float
    """Value shown in the brightest colour; larger values are clipped to it."""
    smallest_side: int = 1
    """Smallest height and width of an image in pixels."""


@dataclass(frozen=True, kw_only=True)
class MetricFacts:
    """Facts of a metric, which is one column of the table."""

    name: str
    """Key in files: ``lr_psnr``."""
    title: str
    """Column header: ``LR-PSNR``."""
    direction: Literal[-1, 0, 1]
    """1 if higher is better, -1 if lower is better, 0 if neither."""
    protocol: str
    """One line from which anybody can compute the same number; ``{quantize}`` stands for ``floor`` or ``round``."""
    signature: str = ""
    """The protocol in the short form of docs/protocols.md, without name and rounding: ``RGB|crop0|v1``.
    Numbers with equal signatures are comparable. If empty, a digest of the code takes its place."""
    unit: str = ""
    """``dB``, ``grey levels`` or empty."""
    digits: int = 2
    group: Group = "Other"
    leads: bool = False
    """True for the metric that represents its group where a report shows one metric of each."""
    map: MapFacts | None = None
    """Its error map; the metric then has ``map``, see ``MappedMetric``."""
    sees: Literal["uint8", "float", "returned", "model"] = field(default="float", compare=False)
    """What it is called with: 8-bit outputs as uint8 or as float32 in [0, 1], the outputs as the model returned them,
    or the model itself."""
    needs: tuple[Literal["HR", "LR", "scale"], ...] = field(default=("HR",), compare=False)
    """Images that it uses, and the scale if it derives that from LR. A metric that needs HR is left out of a run without
    HR."""
    per: Literal["sample", "image", "folder"] = field(default="sample", compare=False)
    """One value per sample; one per image, computed from all its samples and comparable only at equal numbers of samples;
    or one per pair of folders, in ``srbench measure`` only."""
    spec: str = ""
    """The name that the user typed, a file as its absolute path. The harness fills in this and the digest."""
    digest: str = ""
    """SHA-256 of everything that determines the values: code, arguments and parameters."""

    def stored(self) -> dict[str, Any]:
        """The facts that a manifest holds: those that still matter once the values are measured."""
        stored = {fact.name: getattr(self, fact.name) for fact in fields(self) if fact.compare}
        error_map = stored.pop("map")
        return stored if error_map is None else stored | {"map": asdict(error_map)}


class Metric(Protocol):
    """A column of the table.

    Its class, or the function that makes it, may have parameters with defaults, which a suite can set:
    ``psnr+channels=Y``.
    """

    @property
    def facts(self) -> MetricFacts:
        """Facts for readers, tables and the harness. A plain attribute suffices."""

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """(n, 3, H, W) and the pair -> (n,) values, or () where ``facts.per`` is ``image``.

        Samples are in [0, 1] and multiples of 1/255, unless ``facts.sees`` states otherwise.
        """


@runtime_checkable
class MappedMetric(Metric, Protocol):
    """A metric with an error map, described by its ``facts.map``."""

    def map(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """The arguments of the call -> (H, W) float32, the value at every pixel of the first sample."""


class Dataset(Protocol):
    """Benchmark images by name. An image that cannot be read does not affect the others.

    A dataset of LR images alone has an attribute ``has_hr = False``, and its pairs have no HR.
    """

    name: str

    def __len__(self) -> int:
        """Number of images."""

    def __iter__(self) -> Iterator[str]:
        """Image names, in order."""

    def read(self, name: str) -> ImagePair:
        """Decode one pair. Raises SRBenchError that names the file."""

    def digest(self, name: str) -> str:
        """SHA-256 of everything that determines the pair: the bytes of the files, scale and crop."""
