"""Values of every image under every protocol, by one process or several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from srbench.benchmark import BenchmarkError
from srbench.images.io import read_image
from srbench.interfaces import SRBenchError
from srbench.machine.workers import WorkerDied, map_items
from srbench.metrics.protocols.families import family
from srbench.metrics.protocols.table import Protocol
from srbench.models.precomputed import ResultFolder

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[Any]
LEVELS = {"floor": "floored to 8 bits", "round": "rounded to 8 bits", "none": "not quantised"}
"""Conversions of images of more than 8 bits, those of HR always rounded if at all."""


@dataclass(frozen=True)
class Found:
    """Values of an image by protocol, one for each output."""

    image: str
    values: dict[Protocol, list[float]]
    fault: str = ""
    sizes: tuple[str, ...] = ()
    """Sizes of output and HR where they differ."""


@dataclass(frozen=True)
class Images:
    """Pairs of images by name and the metrics asked for, in a form that can be sent to other processes."""

    results: ResultFolder | Mapping[str, Tensor]
    hr: Mapping[str, Path | Tensor]
    metrics: tuple[str, ...]
    scales: tuple[int, ...]

    def measured(self, workers: int) -> Iterator[Found]:
        """The values of every image, as they are computed."""
        workers = workers if isinstance(self.results, ResultFolder) else 1
        for name, result in map_items(_opened, self.hr, workers=workers, arguments=[self]):
            match result:
                case WorkerDied():
                    yield Found(name, {}, f"{name}: {result}; if memory is short, use fewer --workers")
                case Exception():
                    raise result
                case _:
                    yield result

    def measure(self, name: str) -> Found:
        """Measure the outputs of one image, in one thread: sums of float32 depend on the number of threads."""
        from srbench.benchmark.scorer import one_thread

        values: dict[Protocol, list[float]] = {}
        try:
            outputs, hr = self._read(name)
            with one_thread():
                for output in outputs:
                    for protocol, value in _values(output, hr, self.metrics, self.scales):
                        values.setdefault(protocol, []).append(value)
        except SRBenchError as error:
            return Found(name, {}, str(error))
        sizes = [f"{image.shape[-2]}x{image.shape[-1]}" for image in (outputs[0], hr)]
        return Found(name, values, "", tuple(sizes) if sizes[0] != sizes[1] else ())

    def _read(self, name: str) -> tuple[list[Array], Array]:
        """Outputs and HR of a name, (3, H, W) in 0..255: uint8 where they have no more than 8 bits, else float64.

        Raises BenchmarkError where they differ by more than a border.
        """
        hr = self.hr[name]
        reference = in_levels(read_image(hr) if isinstance(hr, Path) else hr)
        read = self.results.read(name) if isinstance(self.results, ResultFolder) else self.results[name]
        outputs = [in_levels(each) for each in (read if read.ndim == 4 else read[None])]
        sizes = [image.shape[-2:] for image in (outputs[0], reference)]
        if any(abs(one - other) > LARGEST_DIFFERENCE for one, other in zip(*sizes, strict=True)):
            texts = [f"{height}x{width}" for height, width in sizes]
            raise BenchmarkError(
                f"{name}: the image is {texts[0]} and the reference {texts[1]}; sizes may differ by "
                f"{LARGEST_DIFFERENCE} pixels at most; name the folder that matches these references"
            )
        return outputs, reference


LARGEST_DIFFERENCE = 16
"""Most pixels by which sides of output and HR may differ."""


def in_levels(image: Tensor) -> Array:
    """(3, H, W), uint8 or in [0, 1] -> levels 0..255: uint8 where all are whole, else float64."""
    array = image.numpy()
    if array.dtype == np.uint8:
        return array
    levels = np.clip(array.astype(np.float64), 0, 1) * 255
    whole = np.rint(levels)
    return whole.astype(np.uint8) if np.abs(levels - whole).max() < 1e-4 else levels


def _values(
    output: Array, hr: Array, metrics: Sequence[str], scales: Sequence[int]
) -> Iterator[tuple[Protocol, float]]:
    """Protocols and values of one output; images of more bits are quantised in every way."""
    if output.dtype == hr.dtype == np.uint8:
        for metric in metrics:
            yield from family(metric).values(output, hr, scales)
        return
    for place, (how, words) in enumerate(LEVELS.items()):
        seen, its_hr = _quantised(output, how), _quantised(hr, "round" if how == "floor" else how)
        for metric in metrics:
            for protocol, value in family(metric).values(seen, its_hr, scales):
                parameters = None if how == "none" else protocol.parameters
                yield replace(protocol, levels=words, parameters=parameters, order=(*protocol.order, place)), value


def _quantised(image: Array, how: str) -> Array:
    if image.dtype == np.uint8 or how == "none":
        return image
    return np.floor(image + (0.5 if how == "round" else 0)).astype(np.uint8)


def _opened(images: Images) -> Callable[[str], Found]:
    return images.measure
