"""LPIPS: distance between the features a classification network sees in two images."""

from __future__ import annotations

from contextlib import AbstractContextManager
from itertools import repeat
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from srbench.interfaces import ImagePair
from srbench.metrics.arguments import Images, Values, as_given, written_pair
from srbench.metrics.lpips_network import NETS, load_network, parts_of, total
from srbench.metrics.samples import quantised, reference, require_side

_ALEXNET = parts_of("alex")
_SMALLEST = 64


def lpips(sr: Images, hr: Images) -> Values:
    """Learned perceptual image patch similarity to the HR image, 0 and up; 0 for identical images.

    ``sr`` is (3, H, W) or (n, 3, H, W), ``hr`` is (3, H, W) for all or (n, 3, H, W), one each: RGB, uint8, or floating
    point in [0, 1] that is clamped and floored to uint8; at least 64 pixels a side. Zhang et al., "The unreasonable
    effectiveness of deep features as a perceptual metric", 2018, eq. 1: version 0.1 on AlexNet, spatial mean, computed
    in float32 on the device of ``sr``. Features of one ``hr`` for a whole batch are computed once.
    Returns a float for one image, (n,) float64 for a batch. Raises MetricError for anything that is no pair of images.

    >>> import numpy as np
    >>> from srbench.metrics import lpips
    >>> hr = np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8)
    >>> lpips(hr, hr)
    0.0
    >>> round(lpips(hr // 2, hr), 2)
    0.09
    """
    images, references = written_pair(sr, hr)
    require_side(images, _SMALLEST, LPIPS.title, "sr")
    with torch.inference_mode(), _exact_convolutions():
        network = load_network(_ALEXNET, images.device)
        wanted = map(network.features, references.to(images.device))
        distances = network.distances(images, repeat(next(wanted)) if len(references) == 1 else wanted)
    return as_given(distances, sr)


def _exact_convolutions() -> AbstractContextManager[None]:
    """TF32 convolutions, the default of many GPUs, keep only 10 bits of every factor."""
    exact: AbstractContextManager[None] = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    return exact


class LPIPS:
    """Learned perceptual image patch similarity to the HR image, version 0.1.

    Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", 2018. On AlexNet, whose
    weights come with srbench; ``net=vgg`` and ``net=squeeze`` are the networks of the lpips package on torchvision's
    files, or on the file ``trunk``. The features
    of the last HR image are kept, so that all samples and models measured one after the other on it share
    them; an image is known by its tensor object, which must not be changed in place in between.
    """

    name = "lpips"
    title = "LPIPS"
    higher_is_better = False
    unit = ""
    digits = 3
    parameters: tuple[Path, ...] = (_ALEXNET.trunk, _ALEXNET.heads)
    sees_uint8 = True

    def __init__(self, net: str = "alex", trunk: str = "", quantize: str = "floor") -> None:
        self._parts = parts_of(net, trunk)
        if self._parts != _ALEXNET:
            self.parameters = (self._parts.trunk, self._parts.heads)
            self.name, self.title = f"lpips_{net}", f"LPIPS {net.upper()}"
        self.protocol = f"version 0.1, {NETS[net]}, uint8 RGB by {quantize}, scaled to -1..1, whole image, spatial mean"
        self.signature = f"RGB|{quantize}|{net}0.1|v1"
        self._last: tuple[Tensor, torch.device, list[Tensor]] | None = None
        self._first: tuple[list[Tensor], torch.Size] | None = None

    @torch.inference_mode()
    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """(n, 3, H, W) and the pair -> (n,) float64, 0 for equal images.

        Computed in float32 on the device of the samples.

        Raises MetricError below 64 pixels a side: the deepest feature map of such an image has fewer than
        3x3 values.
        """
        images = quantised(samples, pair)
        require_side(images, _SMALLEST, self.title, pair.name)
        with _exact_convolutions():
            network, wanted = load_network(self._parts, images.device), self._features_of_hr(pair.hr, images.device)
            layers = [network.differences(network.features(image), wanted) for image in images]
        self._first = layers[0], images.shape[-2:]
        return torch.stack([total(of_image) for of_image in layers]).cpu().to(torch.float64)

    @property
    def is_default(self) -> bool:
        """Is it the LPIPS of the maps of a report?"""
        return self._parts == _ALEXNET

    @torch.inference_mode()
    def map_of_first(self) -> Tensor:
        """Of the first image of the last call (H, W) float32: what ``lpips_maps`` gives of it, at no cost."""
        assert self._first is not None
        return _upscaled(*self._first)

    def _features_of_hr(self, hr: Tensor, device: torch.device) -> list[Tensor]:
        if self._last is None or self._last[0] is not hr or self._last[1] != device:
            self._last = hr, device, load_network(self._parts, device).features(reference(hr).to(device))
        return self._last[2]


@torch.inference_mode()
def lpips_maps(images: list[Tensor], hr: Tensor) -> list[Tensor]:
    """Where the LPIPS of images comes from: uint8 (3, H, W), at least 64 a side, and HR -> (H, W) float32 each.

    The difference of every layer is upscaled bilinearly to the size of the image and summed, as the ``lpips`` package
    does with ``spatial=True``; on the device of HR. The mean of a map is near the metric, but not equal to it.
    """
    network, maps = load_network(_ALEXNET, hr.device), []
    with _exact_convolutions():
        wanted = network.features(hr)
        for image in images:
            maps.append(_upscaled(network.differences(network.features(image), wanted), hr.shape[-2:]))
    return maps


def _upscaled(layers: list[Tensor], size: torch.Size) -> Tensor:
    """Differences of layers (1, 1, h, w) -> their sum at every pixel, (H, W)."""
    upscaled = [F.interpolate(layer, size, mode="bilinear", align_corners=False) for layer in layers]
    return torch.stack(upscaled).sum(dim=0)[0, 0]
