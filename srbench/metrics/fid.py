"""FID and KID, distances between two sets of images in the features of Inception v3, by pyiqa.

fid                          all outputs against all HR images; images resized as by clean-fid
fid+mode=legacy              images resized as by pytorch-fid
fid+mode=tensorflow          images resized as by torch-fidelity and torchmetrics
kid+mode=legacy+patch=256    patches of 256x256 pixels instead of whole images
fid+reference=FFHQ           all outputs against the images of a folder, or against a file of statistics (.npz)

Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", 2017; Binkowski et
al., "Demystifying MMD GANs", 2018; on modes, Parmar et al., "On aliased resizing and surprising subtleties in GAN
evaluation", 2022.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zipfile import BadZipFile

import numpy as np
from msgspec import Meta

from srbench.files.hashes import sha256_files
from srbench.images.folders import images_in
from srbench.images.io import read_uint8, write_png
from srbench.interfaces import ImageSet, MetricInfo, SetMetric
from srbench.machine.memory import computed_on
from srbench.metrics import MetricError
from srbench.metrics.from_pyiqa import created, measuring, quiet, version_and_licence
from srbench.metrics.samples import as_uint8
from srbench.plugins.code_digest import package_digest
from srbench.plugins.identity import held_digest
from srbench.words import size_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

Mode = Literal["clean", "legacy", "tensorflow"]
MODES: dict[Mode, str] = {"clean": "clean", "legacy": "legacy_pytorch", "tensorflow": "legacy_tensorflow"}
"""pyiqa's names of the modes."""
RESIZING = {
    "clean": "clean: bicubic with antialiasing in float32, as clean-fid",
    "legacy": "legacy: bilinear without antialiasing, as pytorch-fid",
    "tensorflow": "tensorflow: bilinear of TensorFlow 1, as torch-fidelity and torchmetrics",
}
"""How images are resized to 299x299 in each mode."""
FEATURES = 2048
"""Number of features of Inception v3."""


@dataclass(frozen=True)
class InceptionInput:
    """What Inception sees: whole images or patches, resized in one of MODES."""

    mode: Mode = "clean"
    patch: int = 0
    """Side of the patches in pixels; 0 for whole images."""


WHOLE = InceptionInput()


@dataclass(frozen=True)
class Statistics:
    """Mean (d,) and covariance (d, d) of features, from which FID follows."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


class _Distance(SetMetric):
    """A distance between the first outputs of all images and all HR images, or the images of ``reference``."""

    sees = "uint8"
    name = ""

    def __init__(
        self, mode: Mode = "clean", patch: Annotated[int, Meta(ge=2)] = 0, reference: Path | None = None
    ) -> None:
        name = self.name
        is_file = name == "fid" and reference is not None and reference.is_file() and reference.suffix == ".npz"
        if not (reference is None or reference.is_dir() or is_file):
            file = ", or a file .npz with the arrays mu and sigma" if name == "fid" else ""
            raise MetricError(
                f"{name}: the reference {reference} is missing or unusable; give a folder of images{file}"
            )
        self.seen, self._reference = InceptionInput(mode, patch), reference
        self.needs = ("HR",) if self._reference is None else ()
        version, licence = version_and_licence()
        of_patches = [f"patch{patch}"] if patch else []
        against = [] if self._reference is None else [f"against {self._reference.name}"]
        words = ", ".join([*([mode] if mode != "clean" else []), *of_patches, *against])
        pieces = f"{patch}x{patch} patches in two grids" if patch else "whole images"
        identity = [] if self._reference is None else [f"reference {self._reference_digest[:8]}"]
        other = (
            "all HR images" if self._reference is None else f"{self._reference.name}, SHA-256 {self._reference_digest}"
        )
        self.info = MetricInfo(
            name=name,
            title=f"{name.upper()} ({words})" if words else name.upper(),
            direction=-1,
            digits=2 if name == "fid" else 5,
            group="Perception",
            signature="|".join(["RGB", mode, *of_patches, *identity, f"pyiqa{version}", "v1"]),
            per="set",
            any_samples=True,
            protocol=(
                f"{name.upper()} of pyiqa {version}, 8-bit RGB by {{quantize}}, {pieces} resized to 299x299 "
                f"({RESIZING[mode]}), Inception v3 of 2015-12-05, the first output of every image against {other}; "
                f"licence of pyiqa: {licence}"
            ),
        )

    def digest(self) -> str:
        """Text of everything that determines the values. Raises MetricError, as ``inception`` does."""
        reference = "" if self._reference is None else self._reference_digest
        return f"{package_digest(__name__)} {inception().digest} {self.info.signature} {reference}"

    def __call__(self, outputs: ImageSet) -> float:
        """Return the distance. Raises MetricError for fewer than two images, and for an image smaller than a patch."""
        ours = features_of_outputs(outputs, self.seen)
        if self._reference is None:
            return distance(self.name, ours, features_of_hr(outputs, self.seen))
        return distance(self.name, ours, self._of_reference(outputs.device))

    @cached_property
    def _reference_digest(self) -> str:
        """SHA-256 of the content of the reference."""
        assert self._reference is not None
        files = [self._reference] if self._reference.is_file() else list(images_in(self._reference).values())
        return sha256_files(files, "reference")

    def _of_reference(self, device: str) -> NDArray[np.float32] | Statistics:
        """Return the features of the images of the reference, or its statistics; computed once."""
        assert self._reference is not None
        if self._computed is None:
            files = [] if self._reference.is_file() else images_in(self._reference).values()
            self._computed = (
                inception().features(map(read_uint8, files), self.seen, device)
                if self._reference.is_dir()
                else _statistics(self._reference)
            )
        return self._computed

    _computed: NDArray[np.float32] | Statistics | None = None


class FID(_Distance):
    """Frechet inception distance; fid+mode=legacy, fid+patch=256, fid+reference=DIR or statistics.npz."""

    name = "fid"


class KID(_Distance):
    """Kernel inception distance; kid+mode=legacy, kid+patch=256, kid+reference=DIR."""

    name = "kid"


def _statistics(path: Path) -> Statistics:
    """Read the statistics that pytorch-fid and clean-fid write. Raises MetricError."""
    try:
        with np.load(path) as arrays:
            mean, covariance = (np.asarray(arrays[key], dtype=np.float64) for key in ("mu", "sigma"))
    except (OSError, EOFError, KeyError, TypeError, ValueError, BadZipFile):  # TypeError: an array without a name
        raise MetricError(
            f"{path}: holds no arrays mu and sigma; give statistics of pytorch-fid or clean-fid"
        ) from None
    if mean.shape != (FEATURES,) or covariance.shape != (FEATURES, FEATURES):
        raise MetricError(f"{path}: mu is {mean.shape}; statistics of Inception v3 have ({FEATURES},)")
    return Statistics(mean, covariance)


def features_of_outputs(outputs: ImageSet, seen: InceptionInput = WHOLE) -> NDArray[np.float32]:
    """Return the features (n, 2048) of the first outputs of a set, computed once for all its metrics.

    Raises MetricError for a missing network, and for an image smaller than a patch.
    """
    return _once(outputs.shared, seen, (image.first for image in outputs), outputs.device)


def features_of_hr(outputs: ImageSet, seen: InceptionInput = WHOLE) -> NDArray[np.float32]:
    """Return the features (n, 2048) of the HR images of a set, computed once for all rows of the table."""
    return _once(outputs.shared_references, seen, (as_uint8(image.pair.hr) for image in outputs), outputs.device)


def _once(
    shared: dict[Hashable, Any], seen: InceptionInput, images: Iterable[Tensor], device: str
) -> NDArray[np.float32]:
    if seen not in shared:
        shared[seen] = inception().features(map(as_uint8, images), seen, device)
    found: NDArray[np.float32] = shared[seen]
    return found


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

    def features(self, images: Iterable[Tensor], seen: InceptionInput, device: str) -> NDArray[np.float32]:
        """Compute the features (n, 2048) of the n uint8 images (3, H, W), or of their patches.

        Raises MetricError for an image smaller than a patch.
        """
        with quiet():
            from pyiqa.archs.fid_arch import get_folder_features

        def computed(name: str) -> NDArray[np.float32]:
            network = self._metric.net.model.to(name)
            network_device = next(network.parameters()).device
            with measuring(network_device):
                features: NDArray[np.float32] = get_folder_features(
                    temporary,
                    network,
                    num_workers=0,
                    test_img_size=self._metric.net.test_img_size,
                    device=network_device,
                    mode=MODES[seen.mode],
                    verbose=False,
                )
            return features

        with TemporaryDirectory() as temporary:
            for image_index, image in enumerate(images):
                for patch_index, patch in enumerate(patches(image, seen.patch) if seen.patch else [image]):
                    write_png(Path(temporary) / f"{image_index:06}_{patch_index:06}.png", patch)
            return computed_on(device, computed)


@cache
def inception() -> Inception:
    """Return the network, loaded once per process. Raises MetricError, as ``Inception`` does."""
    return Inception()


def distance(name: str, outputs: NDArray[np.float32], references: NDArray[np.float32] | Statistics) -> float:
    """Return FID or KID, by pyiqa, of features (n, d) and (m, d), or FID of features and statistics.

    FID is 0 or more. KID is an unbiased estimate, so it may be negative; of more images it takes 100 random subsets of
    1000 images, with a fixed seed. Raises MetricError for fewer than two images.
    """
    with quiet():
        from pyiqa.archs.fid_arch import frechet_distance, maximum_mean_discrepancy

    if len(outputs) < 2 or (not isinstance(references, Statistics) and len(references) < 2):
        raise MetricError("FID and KID compare sets of images; both need at least two images")
    with quiet(), _seeded():
        if name == "kid":
            return float(maximum_mean_discrepancy(outputs, references))
        a, b = (
            each if isinstance(each, Statistics) else Statistics(each.mean(axis=0), np.cov(each, rowvar=False))
            for each in (outputs, references)
        )
        return float(frechet_distance(a.mean, a.covariance, b.mean, b.covariance))


@contextmanager
def _seeded() -> Iterator[None]:
    """Seed numpy's global generator, which pyiqa uses, and restore it afterwards."""
    state = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(state)
