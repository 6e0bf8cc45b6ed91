"""LPIPS: distance between the features a classification network sees in two images."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from itertools import repeat
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from srbench.metrics.arguments import Images, Values, as_given, written_pair
from srbench.metrics.lpips_network import NETS, Network, load_network, parts_of
from srbench.metrics.parameters import packaged, parameter_file
from srbench.metrics.samples import quantised, reference, require_side
from srbench.types import ImagePair

_MEAN = torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)
_SCALE = torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1)
# (key of the convolution in torchvision's AlexNet, stride, padding, is there max pooling before it)
_LAYERS = ((0, 4, 2, False), (3, 1, 2, True), (6, 1, 1, True), (8, 1, 1, False), (10, 1, 1, False))
_FEATURES, _HEADS = "alex_features_fp32", "alex_lin_v0.1_fp32"
_SMALLEST = 64


def lpips(sr: Images, hr: Images) -> Values:
    """Learned perceptual image patch similarity to the HR image, 0 and up; 0 for identical images.

    ``sr`` is (3, H, W) or (n, 3, H, W), ``hr`` is (3, H, W) for all or (n, 3, H, W), one each: RGB, uint8, or floating
    point in [0, 1] that is clamped and floored to uint8; at least 64 pixels a side. Zhang et al., "The unreasonable
    effectiveness of deep features as a perceptual metric", 2018, eq. 1: version 0.1 on AlexNet, spatial mean, computed
    in float32 on the device of ``sr``. Features of one ``hr`` for a whole batch are computed once.
    Returns a float for one image, (n,) float64 for a batch. Raises SampleError for anything that is no pair of images.

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
        network = _network(images.device)
        wanted = map(network.features, references.to(images.device))
        distances = network.distances(images, repeat(next(wanted)) if len(references) == 1 else wanted)
    return as_given(distances, sr)


def _exact_convolutions() -> AbstractContextManager[None]:
    """TF32 convolutions, the default of many GPUs, keep only 10 bits of every factor."""
    exact: AbstractContextManager[None] = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    return exact


class _AlexNet(Network):
    """The five convolutions of AlexNet and the LPIPS weights of their channels, on one device.

    Not the ``lpips`` package's own class: that one builds torchvision's whole AlexNet first, 61 million
    numbers of which LPIPS uses 2.5 million, and measures both images anew for every pair. The tests hold
    the two equal.
    """

    def __init__(self, device: torch.device) -> None:
        self.convolutions = {key: _placed(value, device) for key, value in packaged(_FEATURES).items()}
        self.heads = {key: value.to(device) for key, value in packaged(_HEADS).items()}
        self.mean, self.scale = _MEAN.to(device), _SCALE.to(device)

    def features(self, image: Tensor) -> list[Tensor]:
        """(3, H, W) uint8 -> five feature maps (1, c, h, w), every pixel's channels scaled to length one."""
        signal = ((image.to(self.mean) / 127.5 - 1 - self.mean) / self.scale).unsqueeze(0)
        signal = signal.contiguous(memory_format=torch.channels_last)
        maps = []
        for key, stride, padding, pooled in _LAYERS:
            weight, bias = (
                self.convolutions[f"features.{key}.weight"],
                self.convolutions[f"features.{key}.bias"],
            )
            if pooled:
                signal = F.max_pool2d(signal, kernel_size=3, stride=2)
            signal = _convolved(signal, weight, bias, stride, padding).relu_()
            maps.append(signal / (signal.square().sum(dim=1, keepdim=True).sqrt() + 1e-10))
        return maps

    def differences(self, these: list[Tensor], those: list[Tensor]) -> list[Tensor]:
        """Two lists of maps -> the weighted squared difference at every pixel of each, (1, 1, h, w)."""
        # a product of matrices, as torch is slow in convolutions with one output channel
        return [
            torch.matmul((this - that).square().movedim(1, -1), self.heads[f"lin{index}"].flatten()).unsqueeze(1)
            for index, (this, that) in enumerate(zip(these, those, strict=True))
        ]


def _convolved(signal: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int) -> Tensor:
    """conv2d, by oneDNN on a CPU: for small maps torch does not choose it by itself."""
    if signal.device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        steps = (padding, padding), (stride, stride), (1, 1)
        return torch.mkldnn_convolution(signal, weight, bias, *steps, 1)
    return F.conv2d(signal, weight, bias, stride, padding)


def _placed(numbers: Tensor, device: torch.device) -> Tensor:
    """Weights on a device, channels last where they are those of a convolution: a sixth faster on a CPU."""
    layout = torch.channels_last if numbers.ndim == 4 else torch.contiguous_format
    return numbers.to(device).contiguous(memory_format=layout)


@cache
def _network(device: torch.device) -> _AlexNet:
    return _AlexNet(device)


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
    parameters: tuple[Path, ...] = (parameter_file(_FEATURES), parameter_file(_HEADS))
    unquantised = False
    sees_uint8 = True
    needs_lr = False

    def __init__(self, net: str = "alex", trunk: str = "", quantize: str = "floor") -> None:
        self._parts = None if (net, trunk) == ("alex", "") else parts_of(net, trunk)
        if self._parts is not None:
            self.parameters = (self._parts.trunk, self._parts.heads)
            self.name, self.title = f"lpips_{net}", f"LPIPS {net.upper()}"
        self.protocol = f"version 0.1, {NETS[net]}, uint8 RGB by {quantize}, scaled to -1..1, whole image, spatial mean"
        self.signature = f"RGB|{quantize}|{net}0.1|v1"
        self._last: tuple[Tensor, torch.device, list[Tensor]] | None = None

    @torch.inference_mode()
    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """(n, 3, H, W) and the pair -> (n,) float64, 0 for equal images.

        Computed in float32 on the device of the samples.

        Raises SampleError below 64 pixels a side: the deepest feature map of such an image has fewer than
        3x3 values.
        """
        images = quantised(samples, pair)
        require_side(images, _SMALLEST, self.title, pair.name)
        with _exact_convolutions():
            return self._network(images.device).distances(images, repeat(self._features_of_hr(pair.hr, images.device)))

    def _features_of_hr(self, hr: Tensor, device: torch.device) -> list[Tensor]:
        if self._last is None or self._last[0] is not hr or self._last[1] != device:
            self._last = hr, device, self._network(device).features(reference(hr).to(device))
        return self._last[2]

    def _network(self, device: torch.device) -> Network:
        return _network(device) if self._parts is None else load_network(self._parts, device)


@torch.inference_mode()
def lpips_maps(images: list[Tensor], hr: Tensor) -> list[Tensor]:
    """Where the LPIPS of images comes from: uint8 (3, H, W), at least 64 a side, and HR -> (H, W) float32 each.

    The difference of every layer is upscaled bilinearly to the size of the image and summed, as the ``lpips`` package
    does with ``spatial=True``; on the device of HR. The mean of a map is near the metric, but not equal to it.
    """
    network, maps = _network(hr.device), []
    with _exact_convolutions():
        wanted = network.features(hr)
        for image in images:
            layers = network.differences(network.features(image), wanted)
            upscaled = [F.interpolate(layer, hr.shape[-2:], mode="bilinear", align_corners=False) for layer in layers]
            maps.append(torch.stack(upscaled).sum(dim=0)[0, 0])
    return maps
