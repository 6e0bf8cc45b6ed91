"""FID and KID, distances between two folders of images in the features of Inception v3, by pyiqa.

fid                          images resized as by clean-fid
fid+mode=legacy              images resized as by pytorch-fid
fid+mode=tensorflow          images resized as by torch-fidelity and torchmetrics
kid+mode=legacy+patch=256    patches of 256x256 pixels instead of whole images

Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", 2017; Binkowski et
al., "Demystifying MMD GANs", 2018; on modes, Parmar et al., "On aliased resizing and surprising subtleties in GAN
evaluation", 2022. They compare all outputs with all HR images: their ``info.per`` is ``folder``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from srbench.images.io import write_png
from srbench.interfaces import FolderMetric, MetricInfo
from srbench.machine.memory import computed_on
from srbench.metrics import MetricError
from srbench.metrics.from_pyiqa import created, measuring, quiet, version_and_licence
from srbench.metrics.loading import LoadedMetric
from srbench.plugins.identity import held_digest
from srbench.words import size_of, unknown

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

MODES = {"clean": "clean", "legacy": "legacy_pytorch", "tensorflow": "legacy_tensorflow"}
"""pyiqa's names of the modes."""
RESIZING = {
    "clean": "clean: bicubic with antialiasing in float32, as clean-fid",
    "legacy": "legacy: bilinear without antialiasing, as pytorch-fid",
    "tensorflow": "tensorflow: bilinear of TensorFlow 1, as torch-fidelity and torchmetrics",
}
"""How images are resized to 299x299 in each mode."""


@dataclass(frozen=True)
class Seen:
    """What Inception sees: whole images or patches, resized in one of MODES."""

    mode: str = "clean"
    patch: int = 0
    """Side of the patches in pixels; 0 for whole images."""


Features = Mapping[Seen, "NDArray[np.float32]"]
"""Features (n, 2048) of the n images or patches of a folder."""


class _Distance(FolderMetric):
    """A distance between all outputs and all HR images."""

    def __init__(self, name: str, mode: str, patch: int) -> None:
        if mode not in MODES:
            raise MetricError(f"{name}: {unknown('mode', str(mode), MODES)}")
        if not isinstance(patch, int) or patch == 1:
            raise MetricError(f"{name}: patch is {patch}; give the side of patches in pixels, such as 256")
        self.seen = Seen(mode, patch)
        version, licence = version_and_licence()
        of_patches = [f"patch{patch}"] if patch else []
        words = ", ".join([mode, *of_patches] if mode != "clean" else of_patches)
        pieces = f"{patch}x{patch} patches in two grids" if patch else "whole images"
        self.info = MetricInfo(
            name=name,
            title=f"{name.upper()} ({words})" if words else name.upper(),
            direction=-1,
            digits=2 if name == "fid" else 5,
            group="Perception",
            signature="|".join(["RGB", mode, *of_patches, f"pyiqa{version}", "v1"]),
            per="folder",
            protocol=(
                f"{name.upper()} of pyiqa {version}, 8-bit RGB by {{quantize}}, {pieces} resized to 299x299 "
                f"({RESIZING[mode]}), Inception v3 of 2015-12-05, the first output of every image against all HR "
                f"images; licence of pyiqa: {licence}"
            ),
        )

    def digest(self) -> str:
        """Text of everything that determines the values. Raises MetricError, as ``inception`` does."""
        return f"{inception().digest} {self.info.signature}"

    def __call__(self, outputs: Features, references: Features) -> float:
        """Return the distance between outputs and HR images, given their ``features``. Raises as ``distance``."""
        return distance(self.info.name, outputs[self.seen], references[self.seen])


class FID(_Distance):
    """Frechet inception distance between all outputs and all HR images; fid+mode=legacy, fid+patch=256."""

    def __init__(self, mode: str = "clean", patch: int = 0) -> None:
        super().__init__("fid", mode, patch)


class KID(_Distance):
    """Kernel inception distance between all outputs and all HR images; kid+mode=legacy, kid+patch=256."""

    def __init__(self, mode: str = "clean", patch: int = 0) -> None:
        super().__init__("kid", mode, patch)


def features(metrics: Iterable[LoadedMetric], images: Iterable[Tensor], device: str = "cpu") -> Features:
    """Compute the features of uint8 images (3, H, W) that FID and KID need. Raises MetricError, as ``patches`` does."""
    loaded: list[Any] = [metric.metric for metric in metrics]
    return inception().features(images, [metric.seen for metric in loaded], device)


def distances(metrics: Iterable[LoadedMetric], outputs: Features, references: Features) -> dict[str, float]:
    """Return FID and KID by name, given the ``features`` of outputs and of HR. Raises MetricError, as ``distance``."""
    loaded: list[tuple[str, Any]] = [(metric.info.name, metric.metric) for metric in metrics]
    return {name: metric(outputs, references) for name, metric in loaded}


def patches(image: Tensor, side: int) -> Tensor:
    """Cut an image (3, H, W) into patches (n, 3, side, side).

    Two grids without overlap, of all patches that fit: from the top left corner, and half a patch further down and
    right. This is FID/256 of Mentzer et al., "High-fidelity generative image compression", 2020, in the implementation
    of NeuralCompression. Raises MetricError for an image smaller than a patch.
    """
    import torch

    if min(image.shape[-2:]) < side:
        raise MetricError(
            f"an image of {size_of(image.shape)} is smaller than patches of {side}; choose a smaller patch"
        )
    grids = [image[:, start:, start:] for start in (0, side // 2)]
    return torch.cat(
        [
            grid.unfold(1, side, side).unfold(2, side, side).permute(1, 2, 0, 3, 4).flatten(0, 1)
            for grid in grids
            if min(grid.shape[-2:]) >= side
        ]
    )


class Inception:
    """The network behind FID and KID. Raises MetricError, which names a missing file and where to put it."""

    def __init__(self) -> None:
        self._metric: Any = created("fid")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the network and its weights."""
        return held_digest(self._metric)

    def features(self, images: Iterable[Tensor], wanted: Iterable[Seen], device: str) -> Features:
        """Compute the features of uint8 images (3, H, W). Raises MetricError for an image smaller than a patch."""
        wanted = dict.fromkeys(wanted)
        with quiet():
            from pyiqa.archs.fid_arch import get_folder_features

        def computed(place: str) -> Features:
            network = self._metric.net.model.to(place)
            there = next(network.parameters()).device
            with measuring(there):
                return {
                    seen: get_folder_features(
                        str(folders[seen.patch]),
                        network,
                        num_workers=0,
                        test_img_size=self._metric.net.test_img_size,
                        device=there,
                        mode=MODES[seen.mode],
                        verbose=False,
                    )
                    for seen in wanted
                }

        with TemporaryDirectory() as temporary:
            folders = {seen.patch: Path(temporary) / str(seen.patch) for seen in wanted}
            for number, image in enumerate(images):
                for side, folder in folders.items():
                    for place, piece in enumerate(patches(image, side) if side else [image]):
                        write_png(folder / f"{number:06}_{place:06}.png", piece)
            return computed_on(device, computed)


@cache
def inception() -> Inception:
    """Return the network, loaded once per process. Raises MetricError, as ``Inception`` does."""
    return Inception()


def distance(name: str, outputs: NDArray[np.float32], references: NDArray[np.float32]) -> float:
    """Return FID or KID, by pyiqa, of features (n, d) and (m, d).

    FID is 0 or more. KID is an unbiased estimate, so it may be negative; of more images it takes 100 random subsets of
    1000 images, with a fixed seed. Raises MetricError for fewer than two images.
    """
    with quiet():
        from pyiqa.archs.fid_arch import frechet_distance, maximum_mean_discrepancy

    if min(len(outputs), len(references)) < 2:
        raise MetricError("FID and KID compare folders of images; both need at least two images")
    with quiet(), _seeded():
        if name == "kid":
            return float(maximum_mean_discrepancy(outputs, references))
        moments = [(each.mean(axis=0), np.cov(each, rowvar=False)) for each in (outputs, references)]
        return float(frechet_distance(*moments[0], *moments[1]))


@contextmanager
def _seeded() -> Iterator[None]:
    """Seed numpy's global generator, which pyiqa uses, and restore it afterwards."""
    state = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(state)
