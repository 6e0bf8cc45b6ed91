"""The perceptual loss of ESRGAN: distances between features of VGG19 or VGG16. Needed to train, never to run a model.

The networks are Simonyan and Zisserman's (ICLR 2015).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

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
            raise ValueError(f"perceptual_layer {layer!r} is none of {', '.join(names)}")
        layers: list[nn.Module] = []
        for name in names[: names.index(layer) + 1]:
            weight = tensors[f"{name}.weight"]
            conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
            conv.load_state_dict({"weight": weight, "bias": tensors[f"{name}.bias"]})
            if name.endswith("_1") and name != "conv1_1":
                layers.append(nn.MaxPool2d(2))
            layers += [conv, nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1]).requires_grad_(False)
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1), persistent=False)

    def features(self, images: Tensor) -> list[Tensor]:
        """(b, 3, h, w) in [0, 1] -> the last convolution of every stage before its ReLU; at the end, the layer's."""
        maps = before = (images - self.mean) / self.deviation
        found = []
        for layer in self.layers:
            if isinstance(layer, nn.MaxPool2d):
                found.append(before)
            before, maps = maps, layer(maps)
        return [*found, maps]

    def forward(self, images: Tensor, target: Tensor) -> Tensor:
        """(b, 3, h, w) in [0, 1], twice -> a scalar. No gradient reaches the target."""
        with torch.no_grad():
            wanted = self.features(target)[-1]
        return nn.functional.l1_loss(self.features(images)[-1], wanted)


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
