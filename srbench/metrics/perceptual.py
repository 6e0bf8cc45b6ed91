"""LPIPS: distance between two images in the features of a classification network."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from srbench.interfaces import ImagePair, MappedMetric, MetricInfo, Shared
from srbench.machine.precision import products
from srbench.metrics.default_map import LPIPS_MAP
from srbench.metrics.lpips_network import NETS, Net, features_of, load_network, parts_of
from srbench.metrics.samples import EightBitMetric, hr_as_uint8


class LPIPS(EightBitMetric, MappedMetric):
    """Learned perceptual image patch similarity to the HR image, version 0.1.

    The default network is AlexNet, whose weights come with srbench. ``net=vgg`` and ``net=squeeze`` use torchvision's
    weights files, or the file ``trunk``. Computed in float32 on the device of the samples.
    """

    gpu = True
    smallest_side = LPIPS_MAP.smallest_side  # else the deepest feature map has fewer than 3x3 values

    def __init__(self, net: Net = "alex", trunk: Path | None = None) -> None:
        self._parts = parts_of(net, trunk)
        other = self._parts.replaced
        network = f"{net}0.1-{other}" if other else f"{net}0.1"
        weights = f", not torchvision's weights (SHA-256 {other}...)" if other else ""
        is_default = network == "alex0.1"
        self.info = MetricInfo(
            name="lpips" if is_default else f"lpips_{net}",
            title="LPIPS" if is_default else f"LPIPS {net.upper()}",
            group="Perception",
            is_primary=True,
            direction=-1,
            digits=3,
            signature=f"RGB|{network}|v1",
            map=LPIPS_MAP,
            protocol=(
                f"version 0.1, {NETS[net]}{weights}, uint8 RGB by {{quantize}}, scaled to -1..1, whole image, spatial "
                "mean"
            ),
        )

    def values(self, images: Tensor, pair: ImagePair) -> Tensor:
        """Return (n,) distances, 0 for equal images."""
        return self.distances(images, hr_as_uint8(pair), pair.shared)

    def distances(self, images: Tensor, hr: Tensor, shared: Shared | None = None) -> Tensor:
        """Return the distances (n,) float64 of (n, 3, H, W) from (3, H, W), in 0..255, by eq. 1 of the paper."""
        layers_of_images = self._layers(images, hr, shared or Shared())
        # means over pixels, summed over layers
        values = [torch.stack([layer.double().mean() for layer in layers]).sum() for layers in layers_of_images]
        return torch.stack(values).cpu()

    def map(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """Return the map (H, W) of the first of uint8 samples.

        Differences of all layers are upscaled bilinearly to the size of the image and summed, as in the ``lpips``
        package with ``spatial=True``. The mean of a map is close to the metric, but not equal to it.
        """
        return self.maps(samples[:1], hr_as_uint8(pair), pair.shared)[0]

    def maps(self, images: Tensor, hr: Tensor, shared: Shared | None = None) -> Tensor:
        """Return the maps (n, H, W) of (n, 3, H, W) against (3, H, W), in 0..255."""
        return torch.stack(
            [_upscaled(layers, hr.shape[-2:]) for layers in self._layers(images, hr, shared or Shared())]
        )

    def _layers(self, images: Tensor, hr: Tensor, shared: Shared) -> list[list[Tensor]]:
        """Return the differences from HR at every pixel of every layer, for each image, computed once."""
        network = load_network(self._parts, images.device)

        def differences() -> list[list[Tensor]]:
            of_hr, of_images = features_of(hr, images, self._parts, shared)
            return [network.differences(of_images[place], of_hr) for place in range(len(images))]

        with torch.inference_mode(), products(images.device, tf32=False):
            return shared.once(images, ("LPIPS", self._parts, id(hr)), differences)


def _upscaled(layers: list[Tensor], size: torch.Size) -> Tensor:
    """Upscale the differences of all layers (1, 1, h, w) and sum them at every pixel: (H, W)."""
    upscaled = [F.interpolate(layer, size, mode="bilinear", align_corners=False) for layer in layers]
    return torch.cat(upscaled).sum(dim=(0, 1))
