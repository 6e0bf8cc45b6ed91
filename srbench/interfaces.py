"""Interfaces of plug-ins: images, models, metrics and datasets; and the error for unusable input.

All images are RGB float32 in [0, 1], channels first. ``n`` is the number of samples, ``s`` the scale, ``h, w`` the size
of the low-resolution (LR) image, and ``H, W = s*h, s*w`` the size of the high-resolution (HR) image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, runtime_checkable

if TYPE_CHECKING:  # the command line imports this module without torch
    import torch
    from torch import Tensor

LARGEST_SEED = 2**63 - 1
"""Largest seed of torch's generators."""
TEMPERATURE = 0.8
"""Temperature of stochastic models whose weights state none."""


class SRBenchError(Exception):
    """Unusable input. The message is a single line: what was given, what is allowed, what to do."""


@dataclass(frozen=True, eq=False)
class ImagePair:
    """A benchmark image: the input of a model and, if the dataset has it, the ground truth.

    Pairs compare by identity; use ``torch.equal`` to compare their tensors.
    """

    name: str
    """File name without extension, by which results and images are paired."""
    lr: Tensor = None  # type: ignore[assignment]  # metrics that need LR are never called without it
    """(3, h, w) in [0, 1], multiples of 1/255; None in ``srbench measure`` without LR."""
    hr: Tensor = None  # type: ignore[assignment]  # metrics that need HR are never called without it
    """(3, s*h, s*w) in [0, 1], multiples of 1/255; None in a dataset without HR."""
    uncropped: tuple[int, int] | None = field(default=None, kw_only=True)
    """Height and width of HR before it was cropped to a multiple of the scale; None if it was not cropped."""

    @property
    def has_hr(self) -> bool:
        """True if there is an HR image."""
        return self.hr is not None

    @property
    def has_lr(self) -> bool:
        """True if there is an LR image."""
        return self.lr is not None

    @property
    def scale(self) -> int:
        """The scale; the pair has to have HR and LR."""
        return int(self.hr.shape[-2] // self.lr.shape[-2])

    def copied(self, device: str = "cpu") -> ImagePair:
        """The pair with copies of its images on a device, for code that may change its input in place."""
        lr, hr = (None if image is None else image.to(device, copy=True) for image in (self.lr, self.hr))
        return replace(self, lr=lr, hr=hr)


class SRModel(Protocol):
    """A deterministic model, with a single output per LR image."""

    scale: int

    def __call__(self, lr: Tensor) -> Tensor:
        """(n, 3, h, w) in [0, 1] -> (n, 3, s*h, s*w), not clamped."""


@runtime_checkable
class StochasticSRModel(Protocol):
    """A stochastic model, which samples HR images given an LR image."""

    scale: int

    def sample(self, lr: Tensor, n: int, *, temperature: float, generator: torch.Generator) -> Tensor:
        """(3, h, w) in [0, 1] -> (n, 3, s*h, s*w), not clamped. ``generator`` is a CPU generator."""


@runtime_checkable
class TiledSRModel(StochasticSRModel, Protocol):
    """A stochastic model that can sample large images in tiles."""

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
        """Yield the samples of ``sample``, (3, s*h, s*w) each.

        ``tile`` computes the same samples, up to rounding, in square tiles of that many LR pixels a side and in the
        memory of one sample. ``progress`` is called with the fraction of the work done since the last call.
        """


@runtime_checkable
class PrecomputedResults(Protocol):
    """Outputs made elsewhere, looked up by the name of the benchmark image."""

    scale: int

    def read(self, name: str) -> Tensor:
        """Read the outputs for an image, (n, 3, s*h, s*w) in [0, 1]. Raises SRBenchError for an unusable file."""

    def digest(self, name: str) -> str:
        """SHA-256 of the files for an image. Raises SRBenchError if they are missing."""


Model = SRModel | StochasticSRModel | PrecomputedResults
"""Anything whose outputs can be measured."""


@dataclass(frozen=True)
class WeightsInfo:
    """Provenance of a trained model's weights, printed in every report."""

    sha256: str
    licence: str
    """SPDX identifier, or a sentence if there is none."""
    trained_on: str
    """Data, number of steps and hardware."""
    parameters: int | None
    """Number of trained parameters; None if unknown."""
    losses: dict[str, list[float]] = field(default_factory=dict)
    """Loss curves by name, averaged over equal intervals of the training; empty if unknown."""
    temperature: float | None = None
    """Temperature at which a stochastic model is sampled by default, chosen on validation images; None if not stated."""

    @property
    def text(self) -> str:
        """Sentences on parameters, licence and training data, some of which a file may not state."""
        absent = ("not stated", "unknown")
        parameters = f"{self.parameters:,}" if self.parameters else "an unknown number of"
        licence = f"licence {self.licence}" if self.licence.startswith(absent) else self.licence
        data = "Training data" if self.trained_on.startswith(absent) else "Trained on"
        return f"{parameters} parameters, {licence}. {data} {self.trained_on}."


@runtime_checkable
class Weighted(Protocol):
    """A model that states the provenance of its weights."""

    weights: WeightsInfo


Group = Literal["Distortion", "Perception", "Consistency", "Diversity", "Cost", "Other"]
GROUPS: tuple[Group, ...] = get_args(Group)
"""Headings above the columns of the table, from left to right."""


@dataclass(frozen=True)
class MapInfo:
    """The error map of a metric: its value at every pixel of an output."""

    unit: str
    """Meaning of a pixel's value: ``distance to HR at every pixel``."""
    upper: float
    """Value of the brightest colour; larger values are clipped."""
    smallest_side: int = 1
    """Smallest supported height and width of an image in pixels."""


@dataclass(frozen=True, kw_only=True)
class MetricInfo:
    """A metric as a column of the table; stored with its values."""

    name: str
    """Key in files: ``lr_psnr``."""
    title: str
    """Column header: ``LR-PSNR``."""
    direction: Literal[-1, 0, 1]
    """1 if higher is better, -1 if lower is better, 0 if neither."""
    protocol: str
    """A line from which anyone can reproduce the number; ``{quantize}`` stands for ``floor`` or ``round``."""
    signature: str = ""
    """Short form of the protocol as in docs/protocols.md, without name and rounding: ``RGB|crop0|v1``. Numbers with
    equal signatures are comparable. If empty, a digest of the code is used instead."""
    unit: str = ""
    """``dB``, ``grey levels`` or empty."""
    digits: int = 2
    group: Group = "Other"
    leads: bool = False
    """True for the metric that represents its group wherever a report shows a single metric per group."""
    map: MapInfo | None = None
    """The error map of a ``MappedMetric``; None for other metrics."""
    per: Literal["sample", "image", "model", "folder"] = "sample"
    """``sample``: a value per sample; ``image``: a value per image, computed from all its samples and comparable only
    for equal numbers of samples. The harness fills in ``model`` for metrics of the model. FID and KID state ``folder``: a
    value for all images together."""
    spec: str = ""
    """The name that the user typed, with absolute paths. The harness fills in this field and ``digest``."""
    digest: str = ""
    """SHA-256 of everything that determines the values: code, arguments and parameters."""

    @property
    def permits_test(self) -> bool:
        """True if its values differ by chance from image to image; False for a value of the model or of all images."""
        return self.per in ("sample", "image")

    def stored(self) -> dict[str, Any]:
        """The information as JSON; without ``map`` if there is none."""
        stored = asdict(self)
        return stored if self.map else {name: value for name, value in stored.items() if name != "map"}


Need = Literal["HR", "LR", "scale", "samples"]


class ImageMetric(ABC):
    """A column that measures single images; a subclass defines ``info`` and ``__call__``.

    The class may have parameters with defaults, which a suite or the command line can set: ``psnr+channels=Y``.
    """

    info: MetricInfo
    sees: Literal["uint8", "float", "returned"] = "float"
    """Input of the metric: 8-bit outputs as uint8, 8-bit outputs as float32 in [0, 1], or the outputs as returned by the
    model."""
    needs: tuple[Need, ...] = ("HR",)
    """Images that the metric uses, ``scale`` if it derives the scale from LR, and ``samples`` if it says nothing about a
    single sample. Metrics that need HR are left out of runs without HR, those that need samples of runs with one."""
    gpu: bool = False
    """True if the metric runs on its inputs' device; it then receives tensors on the command's GPU."""

    @abstractmethod
    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """(n, 3, H, W) and the pair -> (n,) values, or () if ``info.per`` is ``image``.

        Samples are multiples of 1/255 in [0, 1], unless ``sees`` states otherwise.
        """


class MappedMetric(ImageMetric):
    """A metric of images with an error map, described by its ``info.map``."""

    @abstractmethod
    def map(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """Error map of the first sample, (H, W) float32, for the same arguments as ``__call__``."""


@dataclass(frozen=True)
class ModelCall:
    """A model as a run calls it."""

    model: Model
    temperature: float | None
    device: str


class ModelMetric(ABC):
    """A column that measures the model itself, such as its cost; a subclass defines ``info`` and ``of``."""

    info: MetricInfo
    depends_on_machine: bool = False
    """True for values that another machine, or the same machine at another time, does not reproduce."""

    @abstractmethod
    def of(self, call: ModelCall) -> float:
        """Return the value for a model at a temperature on a device; NaN if it is unknown."""


class FolderMetric(ABC):
    """A column that compares all outputs with all HR images: FID and KID. Other distributions cannot add one."""

    info: MetricInfo
    needs: tuple[Need, ...] = ("HR",)


Metric = ImageMetric | ModelMetric | FolderMetric


class Dataset(Protocol):
    """Benchmark images by name. An unreadable image does not affect the rest.

    A dataset without HR has an attribute ``has_hr = False``, and its pairs have no HR. A dataset with images that are
    not independent, such as frames of a clip or photographs of a person, has an attribute ``folders``: a dictionary from
    every image to the name of its group, over which ``--average folders`` takes means.
    """

    name: str

    def __len__(self) -> int:
        """Number of images."""

    def __iter__(self) -> Iterator[str]:
        """Image names, in order."""

    def read(self, name: str) -> ImagePair:
        """Decode a pair. Raises SRBenchError naming the file."""

    def digest(self, name: str) -> str:
        """SHA-256 of everything that determines the pair: bytes of the files, scale, crop."""
