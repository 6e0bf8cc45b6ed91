"""Interfaces of plug-ins: images, models, metrics and datasets; and the error for unusable input.

All images are RGB float32 in [0, 1], channels first. ``n`` is the number of samples, ``s`` the scale, ``h, w`` the size
of the low-resolution (LR) image, and ``H, W = s*h, s*w`` the size of the high-resolution (HR) image. At scale 1, LR is
a degraded image of the size of HR, such as a noisy one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, get_args, overload, runtime_checkable

if TYPE_CHECKING:  # the command line imports this module without torch
    import torch
    from torch import Tensor

LARGEST_SEED = 2**63 - 1
"""Largest seed of torch's generators."""
TEMPERATURE = 0.8
"""Temperature of stochastic models whose weights state none."""


T = TypeVar("T")


class SRBenchError(Exception):
    """Unusable input. The message is a single line: what was given, what is allowed, what to do."""


class Shared:
    """What the metrics of an image compute once for all of them, such as the features of HR for LPIPS."""

    def __init__(self) -> None:
        self._of: dict[tuple[int, Hashable], tuple[Tensor, int, Any]] = {}

    def once(self, image: Tensor, key: Hashable, compute: Callable[[], T]) -> T:
        """Return ``compute()``, computed once for an image and a key; again if the image was changed in place."""
        place, version = (id(image), key), 0 if image.is_inference() else image._version
        known = self._of.get(place)
        if known is None or known[0] is not image or known[1] != version:
            known = self._of[place] = image, version, compute()
        result: T = known[2]
        return result

    def forget(self, image: Tensor) -> None:
        """Forget what was computed from an image, and from tensors computed from it."""
        for place in [place for place in self._of if place[0] == id(image)]:
            *_, value = self._of.pop(place)
            if value is not image and hasattr(value, "untyped_storage"):
                self.forget(value)


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
    source_sha256: str | None = field(default=None, kw_only=True)
    """SHA-256 of the size and 8-bit pixels of the image that HR was cropped from in any way;
    None if HR is the image."""
    shared: Shared = field(default_factory=Shared, kw_only=True, repr=False)
    """What metrics compute from this pair and its outputs once for all of them."""

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
        return replace(self, lr=lr, hr=hr, shared=Shared())


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
    """Temperature at which a stochastic model is sampled by default, chosen on validation images;
    None if not stated."""

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
    is_primary: bool = False
    """True for the metric that represents its group wherever a report shows a single metric per group."""
    worst: bool = False
    """True if a report also states the worst sample, as of LR-PSNR."""
    saturates_at: float | None = None
    """Value beyond which the metric does not tell outputs apart, such as 100 for PIQUE; None if there is none."""
    map: MapInfo | None = None
    """The error map of a ``MappedMetric``; None for other metrics."""
    per: Literal["sample", "image", "group", "set", "model"] = "sample"
    """What has a value: each ``sample``; each ``image``, computed from all its samples; each ``group`` of images, such
    as a clip; the ``set`` of all images, as of FID. The harness fills in ``model`` for metrics of the model."""
    any_samples: bool = False
    """True if the expected value of a metric of all samples does not depend on their number, as of a fair score (Ferro,
    2014), so that rows with other numbers share its column. Otherwise the signature states the number."""
    by_row: bool = False
    """True if values are looked up by the row of the table; the harness fills it in for a ``RowMetric``."""
    spec: str = ""
    """The name that the user typed, with absolute paths. The harness fills in this field and ``digest``."""
    digest: str = ""
    """SHA-256 of everything that determines the values: code, arguments and parameters."""

    @property
    def is_of_images(self) -> bool:
        """True if each image has a value."""
        return self.per in ("sample", "image")

    @property
    def permits_test(self) -> bool:
        """True if it has a value for each image or group, which differ by chance;
        False for a value of the model or set.
        """
        return self.is_of_images or self.per == "group"

    @property
    def subject(self) -> str:
        """What has a value, in words: ``image``, ``group``, ``all images together`` or ``the model``."""
        words = {"group": "group", "set": "all images together", "model": "the model"}
        return words.get(self.per, "image")

    def stored(self) -> dict[str, Any]:
        """The information as JSON; without ``map`` if there is none, and without ``by_row`` if values are measured."""
        return {name: value for name, value in asdict(self).items() if value or name not in ("map", "by_row")}


Need = Literal["HR", "LR", "scale", "downscaling", "samples", "groups", "model"]
"""``downscaling`` is LR smaller than HR: a scale of 2 or more. The harness fills in ``groups`` for a metric of groups,
and ``model`` for a metric of the model."""


class ImageMetric(ABC):
    """A column that measures single images; a subclass defines ``info`` and ``__call__``.

    The class may have parameters with defaults, which a suite or the command line can set: ``psnr+channels=Y``.
    """

    info: MetricInfo
    sees: Literal["uint8", "float", "returned"] = "float"
    """Input of the metric: 8-bit outputs as uint8, 8-bit outputs as float32 in [0, 1],
    or the outputs as returned by the model."""
    needs: tuple[Need, ...] = ("HR",)
    """Images that the metric uses, ``scale`` if it derives the scale from LR, ``downscaling`` if it downscales the
    output to LR, and ``samples`` if it says nothing about a single sample. Metrics that need HR are left out of runs
    without HR, those that need downscaling at scale 1, those that need samples of runs with one."""
    gpu: bool = False
    """True if the metric runs on its inputs' device; it then receives tensors on the command's GPU."""

    @abstractmethod
    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor | None:
        """(n, 3, H, W) and the pair -> (n,) values, or () if ``info.per`` is ``image``; None if it does not apply.

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
    """A column that measures the model itself, such as its cost; a subclass defines ``info`` and ``measure``.

    It is measured once for each model and temperature, in a process that does nothing else.
    """

    info: MetricInfo
    depends_on_machine: bool = False
    """True for values that another machine, or the same machine at another time, does not reproduce."""

    @abstractmethod
    def measure(self, call: ModelCall) -> float | None:
        """Return the value for a model at a temperature on a device; None if it does not apply to the model."""


class ModelPairMetric(ABC):
    """A column that measures a model given a pair, such as the likelihood of HR: a value for each image.

    A subclass defines ``info``, whose ``per`` is ``image``, and ``measure``.
    """

    info: MetricInfo
    needs: tuple[Need, ...] = ("HR", "LR")

    @abstractmethod
    def measure(self, call: ModelCall, pair: ImagePair) -> float | None:
        """Return the value for a model at a temperature on a device; None if it does not apply to the model."""


class RowMetric(ABC):
    """A column of numbers that are stated for outputs, such as ratings by people, not computed from them.

    A subclass defines ``info``, whose ``per`` is ``image``, and ``measure``.
    """

    info: MetricInfo
    needs: tuple[Need, ...] = ()

    @abstractmethod
    def measure(self, row: str, image: str, samples: int) -> float | None:
        """Return the value of an image in a row such as ``srflow-t0.8``, which has that many samples; None without one.

        Raises SRBenchError if the row has values, and the image lacks one.
        """


class SampledImage:
    """An image of an ``ImageSet``: its outputs and its pair, read when they are asked for."""

    def __init__(self, name: str, read: Callable[[int | None], Tensor], read_pair: Callable[[], ImagePair]) -> None:
        self.name, self._read, self._read_pair = name, read, read_pair

    @cached_property
    def first(self) -> Tensor:
        """The first output, (3, H, W)."""
        return self._read(1)[0]

    @cached_property
    def samples(self) -> Tensor:
        """All saved outputs, (n, 3, H, W); all outputs for a metric that needs samples."""
        return self._read(None)

    @cached_property
    def pair(self) -> ImagePair:
        """LR and HR."""
        return self._read_pair()

    def on(self, device: str) -> SampledImage:
        """Return the image, whose outputs and pair are copied to a device when they are read."""
        return SampledImage(
            self.name, lambda count: self._read(count).to(device), lambda: self._read_pair().copied(device)
        )


class ImageSet(Sequence[SampledImage]):
    """The images of a run or of one of its groups, in natural order, read one by one when they are asked for.

    ``images[0]`` reads nothing; ``images[0].samples`` and ``images[0].pair`` do, each time the set is indexed.
    """

    def __init__(self, names: Sequence[str], image: Callable[[str], SampledImage], device: str = "cpu") -> None:
        self.names, self._image = names, image
        self.device = device
        """Device of the command, on which a metric may compute."""
        self.shared: dict[Hashable, Any] = {}
        """What the metrics of a set compute once for all of them."""
        self.shared_references: dict[Hashable, Any] = {}
        """The same for what they compute from HR alone, kept for all rows of the table that have the same HR."""

    @overload
    def __getitem__(self, place: int) -> SampledImage: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[SampledImage]: ...

    def __getitem__(self, place: int | slice) -> SampledImage | Sequence[SampledImage]:
        """Return an image that is not read yet."""
        return (
            [self._image(name) for name in self.names[place]]
            if isinstance(place, slice)
            else self._image(self.names[place])
        )

    def __len__(self) -> int:
        """Number of images."""
        return len(self.names)

    def on(self, device: str) -> ImageSet:
        """Return the set with its images on a device, and the same that metrics share."""
        images = ImageSet(self.names, lambda name: self._image(name).on(device), device)
        images.shared, images.shared_references = self.shared, self.shared_references
        return images


class SetMetric(ABC):
    """A column that measures many images together; a subclass defines ``info`` and ``__call__``.

    ``info.per`` is ``set`` for a value of all images, such as FID, or ``group`` for a value of each group, such as a
    clip.
    """

    info: MetricInfo
    sees: Literal["uint8", "float"] = "float"
    """Input of the metric: 8-bit images as uint8, or as float32 in [0, 1]. Pairs are float32."""
    needs: tuple[Need, ...] = ("HR",)
    """As of ``ImageMetric``; with ``samples``, a run saves all samples, of which it otherwise saves the first."""
    gpu: bool = False
    """As of ``ImageMetric``."""

    @abstractmethod
    def __call__(self, outputs: ImageSet) -> float | None:
        """Return the value of a set of images; None if it does not apply."""


Metric = ImageMetric | ModelPairMetric | SetMetric | ModelMetric | RowMetric


class Dataset(Protocol):
    """Benchmark images by name. An unreadable image does not affect the rest.

    A dataset without HR has an attribute ``has_hr = False``, and its pairs have no HR. A dataset with images that are
    not independent, such as frames of a clip or photographs of a person, has an attribute ``groups``: a dictionary from
    every image to the name of its group, over which ``--average groups`` takes means.
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
