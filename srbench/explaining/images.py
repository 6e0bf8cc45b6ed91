"""Values of every image under every protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srbench.explaining import ExplainError
from srbench.explaining.protocols.families import family
from srbench.explaining.protocols.family import ProtocolValues
from srbench.explaining.protocols.table import MetricProtocol
from srbench.images.io import read_image
from srbench.interfaces import SRBenchError
from srbench.machine.memory import computed_on
from srbench.machine.workers import WorkerDied, map_items
from srbench.models.precomputed import ResultFolder
from srbench.words import size_of

if TYPE_CHECKING:
    from torch import Tensor

LEVELS = {"floor": "floored to 8 bits", "round": "rounded to 8 bits", "none": "not quantised"}
"""Ways to quantise outputs of more than 8 bits; HR is rounded, or left unquantised like the outputs."""
LARGEST_DIFFERENCE = 16
"""Largest allowed difference between the sides of output and HR, in pixels."""


@dataclass(frozen=True)
class ImageValues:
    """Values of an image by protocol, one value per sample."""

    image: str
    values: dict[MetricProtocol, list[Any]]
    fault: str = ""
    sizes: tuple[str, ...] = ()
    """Sizes of output and HR; empty if they are equal."""


@dataclass(frozen=True)
class Images:
    """Pairs of images by name and the requested metrics, in a form that can be pickled for worker processes."""

    outputs: ResultFolder | Mapping[str, Tensor]
    hr: Mapping[str, Path | Tensor]
    metrics: tuple[str, ...]
    scales: tuple[int, ...]
    device: str
    """Device of the metrics that can use it."""

    def measured(self, workers: int) -> Iterator[ImageValues]:
        """Yield the values of every image, in any order; images in memory are measured in this process."""
        workers = workers if isinstance(self.outputs, ResultFolder) else 1
        for name, result in map_items(Images.opened, self.hr, workers=workers, arguments=[self]):
            match result:
                case WorkerDied():
                    yield ImageValues(name, {}, f"{name}: {result}; if memory is short, use fewer --workers")
                case Exception():
                    raise result
                case _:
                    yield result

    def opened(self) -> Callable[[str], ImageValues]:
        """Return the function that measures an image, given its name."""
        return self.measure

    def measure(self, name: str) -> ImageValues:
        """Measure the outputs of an image; a failure is part of the result."""
        values: dict[MetricProtocol, list[Any]] = {}
        try:
            outputs, hr = self._read(name)
            for output in outputs:
                for protocol, value in _values(output, hr, self):
                    values.setdefault(protocol, []).append(value)
        except SRBenchError as error:
            return ImageValues(name, {}, str(error))
        sizes = (size_of(outputs[0].shape), size_of(hr.shape))
        return ImageValues(name, values, "", sizes if sizes[0] != sizes[1] else ())

    def _read(self, name: str) -> tuple[list[Tensor], Tensor]:
        """Read outputs and HR, (3, H, W) with levels 0..255: uint8 for images of 8 bits, else float64.

        Raises ExplainError if their sizes differ by more than a border.
        """
        file = self.hr[name]
        hr = in_levels(read_image(file) if isinstance(file, Path) else file)
        read = self.outputs.read(name) if isinstance(self.outputs, ResultFolder) else self.outputs[name]
        outputs = [*map(in_levels, read)]
        sides = zip(outputs[0].shape[-2:], hr.shape[-2:], strict=True)
        if any(abs(side - side_of_hr) > LARGEST_DIFFERENCE for side, side_of_hr in sides):
            raise ExplainError(
                f"{name}: the image is {size_of(outputs[0].shape)} and the reference {size_of(hr.shape)}; sizes may "
                f"differ by {LARGEST_DIFFERENCE} pixels at most; name the folder that matches these references"
            )
        return outputs, hr


def in_levels(image: Tensor) -> Tensor:
    """Convert (3, H, W), uint8 or in [0, 1], to levels 0..255: uint8 if all levels are whole, else float64."""
    if not image.is_floating_point():
        return image
    levels = 255 * image.double().clamp(0, 1)
    whole = levels.round()
    return whole.byte() if (levels - whole).abs().max() < 1e-4 else levels


def _values(output: Tensor, hr: Tensor, images: Images) -> ProtocolValues:
    """Yield protocols and values of an output; images of more than 8 bits are quantised in every way."""

    def values(metric: str, output: Tensor, hr: Tensor) -> list[tuple[MetricProtocol, Any]]:
        protocols = family(metric)
        return computed_on(
            images.device if protocols.gpu else "cpu",
            lambda device: [*protocols.values(output.to(device), hr.to(device), images.scales)],
        )

    if not output.is_floating_point() and not hr.is_floating_point():
        for metric in images.metrics:
            yield from values(metric, output, hr)
        return
    for index, (how, words) in enumerate(LEVELS.items()):
        quantised_output = _quantised(output, how)
        quantised_hr = _quantised(hr, "round" if how == "floor" else how)
        for metric in images.metrics:
            for protocol, value in values(metric, quantised_output, quantised_hr):
                parameters = None if how == "none" else protocol.parameters
                yield replace(protocol, levels=words, parameters=parameters, order=(*protocol.order, index)), value


def _quantised(image: Tensor, how: str) -> Tensor:
    if not image.is_floating_point() or how == "none":
        return image
    return (image + (0.5 if how == "round" else 0)).floor().byte()
