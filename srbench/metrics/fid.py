"""FID and KID, distances between two sets of images in the features of Inception v3, by pyiqa.

Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", 2017; Binkowski et
al., "Demystifying MMD GANs", 2018; images are resized as in Parmar et al., "On aliased resizing and surprising
subtleties in GAN evaluation", 2022. They compare sets of images, so they do not implement ``Metric``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from torch import Tensor

from srbench.images.io import write_png
from srbench.interfaces import MetricFacts
from srbench.metrics import MetricError
from srbench.metrics.from_pyiqa import created, quiet, version_and_licence
from srbench.metrics.loading import completed
from srbench.plugins.identity import held_digest

DISTANCES = {"fid": "frechet", "kid": "mmd"}
"""pyiqa's names of the distances between features."""


def facts_of(name: str) -> MetricFacts:
    """Return the facts of one of DISTANCES."""
    version, licence = version_and_licence()
    return MetricFacts(
        name=name,
        title=name.upper(),
        direction=-1,
        digits=2 if name == "fid" else 5,
        signature=f"RGB|clean|pyiqa{version}|v1",
        sees="uint8",
        per="folder",
        protocol=(
            f"{name.upper()} of pyiqa {version} (clean: bicubic to 299x299 in float32), 8-bit RGB by "
            f"{{quantize}}, Inception v3, all outputs and all HR images as sets; licence of pyiqa: {licence}"
        ),
    )


class SetDistances:
    """Some of DISTANCES, from one network. Raises MetricError, which names a missing file and where to put it."""

    def __init__(self, names: Sequence[str], quantize: str) -> None:
        self._metric = created("fid")
        digest = held_digest(self._metric)
        self.facts = tuple(completed(facts_of(name), name, digest, quantize) for name in names)

    def between(self, outputs: Iterable[Tensor], references: Iterable[Tensor]) -> dict[str, float]:
        """Measure every distance between two sets of uint8 images (3, H, W), by name.

        FID is 0 or more. KID is an unbiased estimate, so it may be negative; of larger sets it takes 100 random
        subsets of 1000 images, with a fixed seed. Raises MetricError for fewer than two images.
        """
        with TemporaryDirectory() as folder:
            sets = [Path(folder) / name for name in ("outputs", "references")]
            for path, images in zip(sets, (outputs, references), strict=True):
                if _written(images, path) < 2:
                    raise MetricError("FID and KID compare sets; both need at least two images")
            with quiet(), _seeded():
                return {
                    facts.name: float(
                        self._metric(*map(str, sets), distance_type=DISTANCES[facts.name], num_workers=0, verbose=False)
                    )
                    for facts in self.facts
                }


def _written(images: Iterable[Tensor], folder: Path) -> int:
    """Write images as PNG for pyiqa, and return their number."""
    count = 0
    for count, image in enumerate(images, start=1):
        write_png(folder / f"{count:06}.png", image)
    return count


@contextmanager
def _seeded() -> Iterator[None]:
    """Seed numpy's global generator, which pyiqa uses, and restore it afterwards."""
    state = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(state)
