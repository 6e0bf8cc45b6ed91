"""The networks of the ``lpips`` package on VGG16 and SqueezeNet, with weights from files: nothing is downloaded."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from srbench.metrics.parameters import parameter_file
from srbench.types import SRBenchError
from srbench.weights.checkpoints import read_checkpoint
from srbench.weights.files import load_weights

_FILES = {"vgg": "vgg16-397923af.pth", "squeeze": "squeezenet1_1-b8a52dc0.pth"}
"""torchvision's weights of ImageNet, as torch keeps them. Those of AlexNet come with srbench."""
NETS = {"alex": "AlexNet", "vgg": "VGG16", "squeeze": "SqueezeNet"}


class LPIPSError(SRBenchError):
    """A network whose weights are not here."""


@dataclass(frozen=True)
class Parts:
    """The files whose numbers make a network."""

    net: str
    """One of NETS."""
    trunk: Path
    """Convolutions of ImageNet, by torchvision's names."""
    heads: Path
    """The package's own weights of their channels, version 0.1."""


def parts_of(net: str, trunk: str = "") -> Parts:
    """The files of a network; ``trunk`` is one of your own. Raises LPIPSError that says what is missing."""
    if net not in NETS:
        raise LPIPSError(f"LPIPS has no net {net!r}; choose {', '.join(NETS)}")
    package = find_spec("lpips")
    assert package is not None
    assert package.origin is not None
    heads = Path(package.origin).parent / "weights" / "v0.1" / f"{net}.pth"
    if trunk:
        path = Path(trunk)
    elif net == "alex":
        path = parameter_file("alex_features_fp32")
    else:
        path = Path(torch.hub.get_dir()) / "checkpoints" / _FILES[net]
    if not path.is_file():
        address = f"https://download.pytorch.org/models/{_FILES.get(net, 'alexnet-owt-7be5be79.pth')}"
        raise LPIPSError(
            f"LPIPS on {NETS[net]} needs {address}; put that file at {path}, or name it: lpips+net={net}+trunk=FILE"
        )
    return Parts(net, path, heads)


class Network(ABC):
    """A network on one device, and how far images are apart in its features."""

    @abstractmethod
    def features(self, image: Tensor) -> list[Tensor]:
        """(3, H, W) uint8 -> feature maps (1, c, h, w), every pixel's channels scaled to length one."""

    @abstractmethod
    def differences(self, these: list[Tensor], those: list[Tensor]) -> list[Tensor]:
        """Two lists of maps -> the weighted squared difference at every pixel of each, (1, 1, h, w)."""

    def distances(self, images: Tensor, wanted: Iterable[list[Tensor]]) -> Tensor:
        """(n, 3, H, W) uint8 and at least n lists of maps -> (n,) float64 on the CPU."""
        pairs = zip(images, wanted, strict=False)
        return torch.stack([self.distance(self.features(image), maps) for image, maps in pairs]).cpu().to(torch.float64)

    def distance(self, these: list[Tensor], those: list[Tensor]) -> Tensor:
        """Two lists of maps -> () by eq. 1 of the paper: weighted squared difference, mean over pixels."""
        return torch.stack([layer.mean() for layer in self.differences(these, those)]).sum()


class _PackageNetwork(Network):
    """The network of the lpips package, on torchvision's weights."""

    def __init__(self, parts: Parts, device: torch.device) -> None:
        import lpips

        with warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore")  # torchvision's, of how the package calls it
            network: Any = lpips.LPIPS(net=parts.net, pnet_rand=True, pretrained=False, verbose=False)
        network.scaling_layer = lpips.ScalingLayer()
        network.net.load_state_dict(_trunk(parts, network.net.state_dict()), assign=True)
        network.load_state_dict(read_checkpoint(parts.heads), strict=False, assign=True)
        self._network = network.to(device).eval().requires_grad_(requires_grad=False)
        self._normalize = lpips.normalize_tensor

    def features(self, image: Tensor) -> list[Tensor]:
        """(3, H, W) uint8 -> feature maps (1, c, h, w), every pixel's channels scaled to length one."""
        signal = self._network.scaling_layer((image.to(self._network.scaling_layer.scale) / 127.5 - 1)[None])
        return [self._normalize(maps) for maps in self._network.net(signal)]

    def differences(self, these: list[Tensor], those: list[Tensor]) -> list[Tensor]:
        """Two lists of maps -> the weighted squared difference at every pixel of each, (1, 1, h, w)."""
        return [head((this - that).square()) for head, this, that in zip(self._network.lins, these, those, strict=True)]


def _trunk(parts: Parts, wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a trunk by the package's names: ``slice2.3.weight`` is ``features.3.weight``."""
    is_safe = parts.trunk.suffix == ".safetensors"
    found = load_weights(parts.trunk)[0] if is_safe else read_checkpoint(parts.trunk)
    names = {name: f"features.{name.partition('.')[2]}" for name in wanted}
    for name, key in names.items():
        if key not in found or found[key].shape != wanted[name].shape:
            raise LPIPSError(f"{parts.trunk}: no weights of {NETS[parts.net]} (it lacks {key}); give torchvision's")
    return {name: found[key] for name, key in names.items()}


@cache
def load_network(parts: Parts, device: torch.device) -> Network:
    """The network of some files on a device, loaded once. Raises LPIPSError, WeightsError."""
    return _PackageNetwork(parts, device)
