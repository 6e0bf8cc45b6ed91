"""The vocabulary of srbench: images, models, metrics, datasets, and the error a user can cause.

Every image is RGB float32 in [0, 1], channels first. ``n`` counts samples, ``s`` is the scale, ``h, w`` is the
size of the low-resolution (LR) image and ``H, W = s*h, s*w`` that of the high-resolution (HR) one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, get_args, runtime_checkable

if TYPE_CHECKING:  # the command line reads this module before it may load torch
    import torch
    from torch import Tensor

Made = TypeVar("Made")

LARGEST_SEED = 2**63 - 1  # of torch's generators
SMALLEST_TILE = 16  # LR pixels
MOST_DIGITS = 12  # decimals of a printed metric
TEMPERATURE = 0.8
"""Temperature of models that sample, unless a command or the weights state another."""
SAMPLES = 5
"""Samples per image, unless a command or the suite states another number."""
SUITE = "srflow"
"""Protocol of a run, unless a command states another."""
DEVICES = ("auto", "cpu", "cuda", "mps")
"""Devices that a command may ask for."""


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
    hr: Tensor = None  # type: ignore[assignment]  # no metric that looks at it is called without it
    """(3, s*h, s*w) in [0, 1], a multiple of 1/255; None in a dataset without HR."""
    uncropped: tuple[int, int] | None = field(default=None, kw_only=True)
    """Size of HR, height and width, before it was cropped to a multiple of the scale; None if it was not."""
    _known: dict[Hashable, tuple[object, Any]] = field(default_factory=dict, init=False, repr=False)

    @property
    def has_hr(self) -> bool:
        """True if there is an HR image."""
        return self.hr is not None

    def once(self, key: Hashable, make: Callable[[], Made], of: object = None) -> Made:
        """Call ``make`` once per pair and key, and keep the result for all later calls: features of HR, for example.

        With ``of``, such as the samples of one model, the result is kept until another object is given.
        """
        if key not in self._known or self._known[key][0] is not of:
            self._known[key] = of, make()
        made: Made = self._known[key][1]
        return made


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


@dataclass(frozen=True)
class ModelFacts:
    """Facts of a model: one line of the table, or several."""

    label: str
    """Name in the table and in file names."""
    spec: str
    """The name that the user typed."""
    digest: str
    """SHA-256 of everything that determines the outputs: code, harness and weights."""
    projected: bool
    """True if the outputs are projected onto the images that downscale to LR."""
    weights: WeightsInfo | None
    stated: dict[str, str] = field(default_factory=dict, kw_only=True)
    """Facts that a folder of results made elsewhere states about them; no value depends on these."""


@dataclass(frozen=True)
class Step:
    """Progress in items, as reported to callers of the library and to the terminal."""

    done: int
    total: int
    what: str
    """Next setting and image; empty at the end."""
    fault: str = ""
    """Failure that just happened, in one line."""
    share: float | None = None
    """Finished share of the work, from which the remaining time follows; None: ``done / total``."""


Progress = Callable[[Step], None]


def silent(step: Step) -> None:
    """Ignore progress."""


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


class TiledSRModel(StochasticSRModel, Protocol):
    """Draws from one latent for the whole image, and can compute it piece by piece."""

    def sample(
        self, lr: Tensor, n: int, *, temperature: float, generator: torch.Generator, tile: int | None = None
    ) -> Tensor:
        """With ``tile``, the same images up to rounding, in memory for about ``tile`` x ``tile`` LR pixels."""


@runtime_checkable
class LargeSRModel(StochasticSRModel, Protocol):
    """Samples large images in tiles, the same images up to rounding, and knows what that takes."""

    def samples(
        self,
        lr: Tensor,
        n: int,
        *,
        temperature: float,
        generator: torch.Generator,
        tile: int,
        progress: Callable[[float], None],
    ) -> Iterator[Tensor]:
        """The samples of ``sample``, (3, s*h, s*w) each, one after another, in memory for one.

        ``progress`` is called with the share of the work that is done since its last call.
        """

    def memory(self, height: int, width: int, tile: int | None) -> int:
        """Bytes for one sample of an LR image, weights not counted; with ``tile`` None all at once."""

    def work(self, height: int, width: int, n: int, tile: int | None) -> float:
        """Work for n samples, in any unit: time is proportional to it."""


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

    def transfer_content(
        self, hr: Tensor, lr: Tensor, pasted: Tensor, mask: Tensor, *, temperature: float, generator: torch.Generator
    ) -> Tensor:
        """HR (3, s*h, s*w) with what ``pasted`` shows where the mask (s*h, s*w) is 1, to fit LR (3, h, w); not clamped.

        ``pasted`` is as large as HR and equal to it outside the mask. The generator lives on the CPU.
        """

    def restore(self, hr: Tensor, lr: Tensor, *, temperature: float, generator: torch.Generator) -> Tensor:
        """HR (3, s*h, s*w) without its noise, to fit LR (3, h, w); not clamped. The generator lives on the CPU."""


@runtime_checkable
class PrecomputedResults(Protocol):
    """HR images made elsewhere and found by the name of the benchmark image."""

    scale: int

    def read(self, name: str) -> Tensor:
        """Name of an image -> (n, 3, s*h, s*w) in [0, 1]. Raises SRBenchError where it is missing or damaged."""

    def digest(self, name: str) -> str:
        """sha256 of the file behind a name. Raises SRBenchError where it is missing."""


Model = SRModel | StochasticSRModel | PrecomputedResults
"""Everything that gives outputs to measure."""


@runtime_checkable
class Weighted(Protocol):
    """A model that can say which weights it carries."""

    weights: WeightsInfo


Group = Literal["Distortion", "Perception", "Consistency", "Diversity", "Cost", "Other"]
GROUPS: tuple[Group, ...] = get_args(Group)
"""Headings of the table's columns, in their order."""


@dataclass(frozen=True)
class MapFacts:
    """The error map that a metric offers: its value at every pixel of an output."""

    unit: str
    """Meaning of a pixel's value: ``distance to HR at every pixel``."""
    upper: float
    """Value of the brightest colour; larger values share it."""
    smallest_side: int = 1
    """Pixels that both sides of an image need."""


@dataclass(frozen=True, kw_only=True)
class MetricFacts:
    """Facts of a metric: one column of the table. No other place knows a direction, a unit or a group."""

    name: str
    """Key in files: ``lr_psnr``."""
    title: str
    """Column header: ``LR-PSNR``."""
    direction: Literal[-1, 0, 1]
    """1 if higher is better, -1 if lower is better, 0 if neither is."""
    protocol: str
    """One line that lets a stranger compute the same number; ``{quantize}`` stands for ``floor`` or ``round``."""
    signature: str = ""
    """The same in a few words by the scheme of docs/protocols.md, without name and rounding: ``RGB|crop0|v1``.
    Equal signatures mean comparable numbers. Empty: a digest of the code takes its place."""
    unit: str = ""
    """``dB``, ``grey levels`` or empty."""
    digits: int = 2
    group: Group = "Other"
    leads: bool = False
    """True if it stands for its group where a report shows one metric of each."""
    map: MapFacts | None = None
    """Its error map; the metric then has ``map``, see ``MappedMetric``."""
    sees: Literal["uint8", "float", "returned", "model"] = field(default="float", compare=False)
    """8-bit outputs as uint8 or as float32 in [0, 1], outputs as the model returned them, or the model itself."""
    needs: tuple[Literal["HR", "LR", "scale"], ...] = field(default=("HR",), compare=False)
    """Images that it looks at, and the scale if it takes that from LR; one that needs HR is left out without it."""
    per: Literal["sample", "image", "folder"] = field(default="sample", compare=False)
    """One value per sample; per image, from all its samples, comparable at equal numbers of samples only; or one of
    two folders of images, which only ``srbench measure`` has."""
    spec: str = ""
    """The name that the user typed; filled in by the harness, as is the digest."""
    digest: str = ""
    """SHA-256 of everything that determines the values: code, arguments and parameters."""

    def stored(self) -> dict[str, Any]:
        """Facts that a manifest holds: all that matter once the values are measured."""
        facts = {one.name: getattr(self, one.name) for one in fields(self) if one.compare}
        shown = facts.pop("map")
        return facts if shown is None else facts | {"map": asdict(shown)}


class Metric(Protocol):
    """A column of the table.

    The class or function that makes it may take parameters with defaults, which a suite can set: ``psnr+channels=Y``.
    """

    @property
    def facts(self) -> MetricFacts:
        """Facts for readers, tables and the harness; a plain attribute suffices."""

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """(n, 3, H, W) and the pair -> (n,) values, or () where ``facts.per`` is ``image``.

        Samples are in [0, 1] and multiples of 1/255, unless ``facts.sees`` states otherwise.
        """


@runtime_checkable
class MappedMetric(Metric, Protocol):
    """A metric with an error map, as its ``facts.map`` says."""

    def map(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """The arguments of the call -> (H, W) float32, the value at every pixel of the first sample."""


class Dataset(Protocol):
    """Named benchmark images. One that cannot be read does not affect the others.

    A dataset of LR images alone has an attribute ``has_hr = False``, and reads pairs without HR.
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


@dataclass(frozen=True)
class TrainingRequest:
    """The options of ``srbench train NAME``."""

    preset: str
    """Name of a preset of the model, or a TOML file."""
    data: tuple[Path, ...]
    out: Path
    """Training folder; an existing training in it is resumed."""
    changes: tuple[str, ...] = ()
    """Values that override the preset's, as typed: ``training.learning_rate=1e-4``."""
    lr: tuple[Path, ...] = ()
    """Folders of LR images, paired with HR by name; if empty, HR is downscaled."""
    validation: Path | None = None
    """Folder of HR images for validation; None uses some images of the data, held out if there are enough."""
    start: Path | None = None
    device: str = "cpu"
    """``cpu``, ``cuda``, ``mps``, or one GPU such as ``cuda:1``."""
    metrics: tuple[Metric, ...] = ()
    """Metrics of the validation; the preset names the one that selects the best weights."""
    log_with: str | None = None
    """Also send losses and metrics to a tracker: ``tensorboard``, ``wandb`` or ``trackio``, if it is installed."""


class Trainer(Protocol):
    """A training, for ``srbench train NAME``."""

    def __call__(self, request: TrainingRequest) -> Path:
        """Train or resume, return the weights file. Raises SRBenchError for unusable input."""


class Converter(Protocol):
    """A reader of a model's official checkpoints, for ``srbench convert``."""

    def __call__(
        self, tensors: Mapping[str, Tensor], preset: str | None
    ) -> tuple[dict[str, Tensor], dict[str, str]] | None:
        """Tensors by official names -> tensors and metadata of a weights file, without licence and provenance.

        Returns None for a checkpoint of another model, or one that cannot belong to the preset. None as preset selects
        it by the checkpoint's size. Raises SRBenchError for a checkpoint of this model that does not fit the preset.
        """
