"""Perceptual losses: distances between features of torchvision's VGG16 or VGG19. Only training needs them.

Both networks were trained on ImageNet. Their weights are torchvision's files of 530 and 550 MB, which are downloaded to
torch's cache when they are first needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from srbench.files.config import ConfigError
from srbench.weights.download import require_online
from srbench.weights.files import WeightsError
from srbench.words import one_line


def _positions(*convolutions: int) -> dict[str, int]:
    """Positions in torchvision's ``features`` from the number of convolutions in each stage.

    A ReLU follows every convolution, and a pooling every stage.
    """
    positions = {}
    position = 0
    for stage, number in enumerate(convolutions, 1):
        for convolution in range(1, number + 1):
            positions[f"conv{stage}_{convolution}"] = position
            position += 2
        position += 1
    return positions


LAYERS = {"vgg16": _positions(2, 2, 3, 3, 3), "vgg19": _positions(2, 2, 4, 4, 4)}
"""Position of every convolution of a network in torchvision's ``features``."""


class PerceptualLoss(nn.Module):
    """Mean absolute difference of a convolution's output, before its ReLU (ESRGAN, section 3.2).

    ``tensors`` are weights by torchvision's names. Raises ConfigError for a layer that the network does not have.
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
        self.layers: nn.Sequential = layers.to_empty(device="cpu").requires_grad_(False)
        self.layers.load_state_dict({name: tensors[f"features.{name}"] for name in self.layers.state_dict()})
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


def untrained_vgg(network: str) -> dict[str, Tensor]:
    """Zeros in place of the weights of ``vgg16`` or ``vgg19``, which a dry run does not need."""
    from torchvision.models import get_model

    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in get_model(network).features.state_dict().items()}
    return {f"features.{name}": torch.zeros(shape) for name, shape in shapes.items()}


def load_vgg(network: str) -> dict[str, Tensor]:
    """The weights of ``vgg16`` or ``vgg19`` by torchvision's names, downloaded the first time.

    Raises WeightsError that says where the file belongs if it cannot be downloaded or read, OfflineError.
    """
    from torchvision.models import get_model_weights

    weights = get_model_weights(network).IMAGENET1K_V1
    path = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
    if not path.is_file():
        require_online(weights.url)
    try:
        tensors: dict[str, Tensor] = weights.get_state_dict(map_location="cpu", check_hash=True, weights_only=True)
    except Exception as error:  # a damaged file can make the parser raise anything
        reason = one_line(error)[:200]
        raise WeightsError(f"the perceptual loss needs {weights.url} ({reason}); put that file at {path}") from None
    return tensors
