"""LPIPS: distance between the features a classification network sees in two pictures."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from srbench.images import quantize_floor
from srbench.metrics.parameters import packaged
from srbench.metrics.samples import quantised, require_side
from srbench.types import ImagePair

_MEAN = torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)
_SCALE = torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1)
# (key of the convolution in torchvision's AlexNet, stride, padding, is there max pooling before it)
_LAYERS = ((0, 4, 2, False), (3, 1, 2, True), (6, 1, 1, True), (8, 1, 1, False), (10, 1, 1, False))


class _AlexNet:
    """The five convolutions of AlexNet and the LPIPS weights of their channels, on one device.

    Not the ``lpips`` package's own class: that one builds torchvision's whole AlexNet first, 61 million
    numbers of which LPIPS uses 2.5 million, and measures both pictures anew for every pair. The tests hold
    the two equal.
    """

    def __init__(self, device: torch.device) -> None:
        self.convolutions = {key: value.to(device) for key, value in packaged("alex_features_fp32").items()}
        self.heads = {key: value.to(device) for key, value in packaged("alex_lin_v0.1_fp32").items()}
        self.mean, self.scale = _MEAN.to(device), _SCALE.to(device)

    def features(self, picture: Tensor) -> list[Tensor]:
        """(3, H, W) uint8 -> five feature maps (1, c, h, w), every pixel's channels scaled to length one."""
        signal = ((picture.to(self.mean) / 127.5 - 1 - self.mean) / self.scale).unsqueeze(0)
        maps = []
        for key, stride, padding, pooled in _LAYERS:
            weight, bias = (
                self.convolutions[f"features.{key}.weight"],
                self.convolutions[f"features.{key}.bias"],
            )
            if pooled:
                signal = F.max_pool2d(signal, kernel_size=3, stride=2)
            signal = F.relu(F.conv2d(signal, weight, bias, stride, padding))
            maps.append(signal / (signal.square().sum(dim=1, keepdim=True).sqrt() + 1e-10))
        return maps

    def distance(self, these: list[Tensor], those: list[Tensor]) -> Tensor:
        """Two lists of maps -> () by eq. 1 of the paper: weighted squared difference, mean over pixels."""
        return torch.stack([layer.mean() for layer in self.differences(these, those)]).sum()

    def differences(self, these: list[Tensor], those: list[Tensor]) -> list[Tensor]:
        """Two lists of maps -> the weighted squared difference at every pixel of each, (1, 1, h, w)."""
        return [
            F.conv2d((this - that).square(), self.heads[f"lin{index}"].view(1, -1, 1, 1))
            for index, (this, that) in enumerate(zip(these, those, strict=True))
        ]


class LPIPS:
    """Learned perceptual image patch similarity to the HR picture, version 0.1 on AlexNet.

    Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", 2018. The features
    of the last HR picture are kept, so that all samples and models measured one after the other on it share
    them; a picture is known by its tensor object, which must not be changed in place in between.
    """

    name = "lpips"
    title = "LPIPS"
    higher_is_better = False
    unit = ""
    digits = 3
    protocol = "version 0.1, AlexNet, uint8 RGB by floor, scaled to -1..1, whole picture, spatial mean"

    def __init__(self) -> None:
        self._networks: dict[torch.device, _AlexNet] = {}
        self._last: tuple[Tensor, torch.device, list[Tensor]] | None = None

    @torch.inference_mode()
    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """(n, 3, H, W) and the pair -> (n,) float64, 0 for equal pictures.

        Computed in float32 on the device of the samples.

        Raises SampleError below 64 pixels a side: the deepest feature map of such a picture has fewer than
        3x3 values.
        """
        require_side(pair, 64, self.title)
        pictures = quantised(samples, pair)
        device = pictures.device
        if device not in self._networks:
            self._networks[device] = _AlexNet(device)
        network = self._networks[device]
        # TF32 convolutions, the default of many GPUs, keep only 10 bits of every factor.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            wanted = self._features_of_hr(pair.hr, network, device)
            distances = [network.distance(network.features(picture), wanted) for picture in pictures]
        return torch.stack(distances).cpu().to(torch.float64)

    def _features_of_hr(self, hr: Tensor, network: _AlexNet, device: torch.device) -> list[Tensor]:
        if self._last is None or self._last[0] is not hr or self._last[1] != device:
            self._last = hr, device, network.features(quantize_floor(hr).to(device))
        return self._last[2]


@torch.inference_mode()
def lpips_maps(pictures: list[Tensor], hr: Tensor) -> list[Tensor]:
    """Where the LPIPS of pictures comes from: uint8 (3, H, W), at least 64 a side, and HR -> (H, W) float32 each.

    The difference of every layer is enlarged bilinearly to the size of the picture and summed, as the ``lpips``
    package does with ``spatial=True``. The mean of a map is near the metric, but not equal to it.
    """
    network = _AlexNet(torch.device("cpu"))
    wanted = network.features(hr)
    maps = []
    for picture in pictures:
        layers = network.differences(network.features(picture), wanted)
        enlarged = [F.interpolate(layer, hr.shape[-2:], mode="bilinear", align_corners=False) for layer in layers]
        maps.append(torch.stack(enlarged).sum(dim=0)[0, 0])
    return maps
