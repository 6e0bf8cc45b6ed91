"""The networks of LPIPS, with the channel weights of the ``lpips`` package; nothing is downloaded."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from srbench.files.hashes import sha256_file
from srbench.interfaces import Shared
from srbench.metrics import MetricError
from srbench.metrics.parameters import parameter_file
from srbench.weights.reading import read_tensors

HELD = 2**29
"""Bytes of features of the images that are compared; those of a single image are always held."""
Net = Literal["alex", "vgg", "squeeze"]
_FILES: dict[Net, str] = {
    "alex": "alexnet-owt-7be5be79.pth",
    "vgg": "vgg16-397923af.pth",
    "squeeze": "squeezenet1_1-b8a52dc0.pth",
}
"""Files of torchvision's ImageNet weights, whose names end in the first digits of their SHA-256;
AlexNet's are packaged."""
NETS: dict[Net, str] = {"alex": "AlexNet", "vgg": "VGG16", "squeeze": "SqueezeNet"}
_MEAN = torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)
_SCALE = torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1)


@dataclass(frozen=True)
class Parts:
    """Weights files of a network."""

    net: Net
    trunk: Path
    """Convolutions trained on ImageNet, with torchvision's names."""
    heads: Path
    """The lpips package's channel weights, version 0.1."""

    @property
    def replaced(self) -> str:
        """The first digits of the SHA-256 of a trunk that is not torchvision's; empty for torchvision's."""
        if self.trunk == parameter_file("alex_features_fp32"):
            return ""
        return "" if _is_torchvisions(self.trunk, self.net) else _sha256(self.trunk)[:8]


def parts_of(net: Net, trunk: Path | None = None) -> Parts:
    """Return the weights files of a network; ``trunk`` replaces torchvision's file.

    Raises MetricError, which names a missing file, and a file that is not torchvision's although it has that name.
    """
    heads = Path(str(distribution("lpips").locate_file(f"lpips/weights/v0.1/{net}.pth")))
    if trunk is not None:
        path = trunk
    elif net == "alex":
        path = parameter_file("alex_features_fp32")
    else:
        path = Path(torch.hub.get_dir()) / "checkpoints" / _FILES[net]
    if not path.is_file():
        address = f"https://download.pytorch.org/models/{_FILES[net]}"
        raise MetricError(
            f"LPIPS on {NETS[net]} needs {address}; put that file at {path}, or name it: lpips+net={net}+trunk=FILE"
        )
    if trunk is None and net != "alex" and not _is_torchvisions(path, net):  # no digest covers it but by its name
        raise MetricError(
            f"{path}: not torchvision's file of that name, by its SHA-256; get another copy, or name the file: "
            f"lpips+net={net}+trunk=FILE"
        )
    return Parts(net, path, heads)


def _is_torchvisions(path: Path, net: Net) -> bool:
    return _sha256(path).startswith(Path(_FILES[net]).stem.rpartition("-")[2])


_sha256 = cache(sha256_file)


class Network:
    """A network on one device, and the differences between images in its features.

    Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", 2018, eq. 1.
    """

    def __init__(self, parts: Parts, device: torch.device) -> None:
        with torch.device("meta"):
            trunk = _AlexNet() if parts.net == "alex" else _trunk_of_the_package(parts.net)
        trunk.load_state_dict(_trunk(parts, trunk.state_dict()), assign=True)
        layout: Any = {"memory_format": torch.channels_last}  # faster on a CPU
        trunk.to(device, **layout)
        self._trunk = trunk.eval().requires_grad_(requires_grad=False)
        self._heads = [head.to(device).flatten() for _, head in sorted(read_tensors(parts.heads).items())]
        self._mean, self._scale = _MEAN.to(device), _SCALE.to(device)

    def features(self, image: Tensor) -> list[Tensor]:
        """Map (3, H, W) in 0..255 to feature maps (1, c, h, w), normalised over the channels of each pixel."""
        signal = ((image.to(self._mean) / 127.5 - 1 - self._mean) / self._scale)[None]
        maps = self._trunk(signal.contiguous(memory_format=torch.channels_last))
        return [each / (torch.linalg.vector_norm(each, dim=1, keepdim=True) + 1e-10) for each in maps]

    def differences(self, these: list[Tensor], those: list[Tensor]) -> list[Tensor]:
        """Return weighted squared differences of feature maps at every pixel, (1, 1, h, w) per layer."""
        return [
            torch.einsum("bchw,c->bhw", (this - that).square_(), head).unsqueeze(1)
            for head, this, that in zip(self._heads, these, those, strict=True)
        ]


class HeldFeatures:
    """Features of images by a network, computed when they are first asked for, and held if those of all fit."""

    def __init__(self, network: Network, images: Sequence[Tensor] | Tensor) -> None:
        self._network, self._images = network, images
        self._held: dict[int, list[Tensor]] = {}

    def __len__(self) -> int:
        """Number of images."""
        return len(self._images)

    def __getitem__(self, place: int) -> list[Tensor]:
        """Return the features of an image, as ``Network.features`` does."""
        if place in self._held:
            return self._held[place]
        features = self._network.features(self._images[place])
        if fits(features, len(self) + 1):  # and those of HR
            self._held[place] = features
        return features


def fits(features: Sequence[Tensor], images: int) -> bool:
    """Return whether features like these of some images may be held."""
    return images * sum(layer.nbytes for layer in features) <= HELD


class _AlexNet(nn.Module):
    """The convolutions of torchvision's AlexNet; returns the outputs of its five ReLUs.

    The lpips package imports torchvision for it, which takes long in every process compared with measuring small
    images.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
        )

    def forward(self, signal: Tensor) -> list[Tensor]:
        """Map (1, 3, H, W) to five feature maps (1, c, h, w)."""
        maps = []
        for layer in self.features:
            signal = layer(signal)
            if isinstance(layer, nn.ReLU):
                maps.append(signal)
        return maps


def _trunk_of_the_package(net: str) -> Any:  # noqa: ANN401 - lpips has no types
    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's deprecation warnings
        return lpips.LPIPS(net=net, pnet_rand=True, pretrained=False, verbose=False).net


def _trunk(parts: Parts, wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """Read the tensors of a trunk by the network's names: ``slice2.3.weight`` is ``features.3.weight`` in the file."""
    tensors = read_tensors(parts.trunk)
    names = {name: f"features.{name.partition('.')[2]}" for name in wanted}
    for name, key in names.items():
        if key not in tensors or tensors[key].shape != wanted[name].shape:
            raise MetricError(f"{parts.trunk}: not weights of {NETS[parts.net]} (it lacks {key}); give torchvision's")
    return {name: tensors[key] for name, key in names.items()}


@cache
def load_network(parts: Parts, device: torch.device) -> Network:
    """Load a network onto a device, cached. Raises MetricError and WeightsError."""
    return Network(parts, device)


def features_of(hr: Tensor, images: Tensor, parts: Parts, shared: Shared) -> tuple[list[Tensor], HeldFeatures]:
    """Return the features of HR (3, H, W) and of images (n, 3, H, W), on the device of the images,
    shared by all metrics.
    """
    device = images.device
    network = load_network(parts, device)
    of_hr = shared.once(hr, ("LPIPS", parts, device), lambda: network.features(hr.to(device)))
    return of_hr, shared.once(images, ("features of LPIPS", parts), lambda: HeldFeatures(network, images))
