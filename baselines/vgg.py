"""Perceptual losses on features of torchvision's VGG16 or VGG19, used only in training.

Both networks were trained on ImageNet. Their weights, 530 and 550 MB, are downloaded to torch's cache on first use.
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
    """Indices of convolutions in torchvision's ``features``, given the number of convolutions in each stage.

    Every convolution is followed by a ReLU, and every stage by a pooling.
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
"""Index of every convolution of each network in torchvision's ``features``."""


class PerceptualLoss(nn.Module):
    """Mean absolute difference of a convolution's outputs, before its ReLU (ESRGAN, section 3.2).

    ``tensors`` are the network's weights by torchvision's names. Raises ConfigError for an unknown layer.
    """

    def __init__(self, tensors: Mapping[str, Tensor], network: str, layer: str) -> None:
        from torchvision.models import get_model  # slow to import

        super().__init__()
        positions = LAYERS[network]
        if layer not in positions:
            raise ConfigError(
                f"losses.perceptual_layer is {layer!r}; {network} has {', '.join(positions)}; correct the preset"
            )
        with torch.device("meta"):
            layers = get_model(network).features[: positions[layer] + 1]
        self.layers: nn.Sequential = layers.to_empty(device="cpu").requires_grad_(False)
        self.layers.load_state_dict({name: tensors[f"features.{name}"] for name in self.layers.state_dict()})
        for module in self.layers:
            if isinstance(module, nn.ReLU):
                module.inplace = False  # the output of the convolution before it is used as well
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1), persistent=False)

    def features(self, images: Tensor) -> list[Tensor]:
        """(b, 3, h, w) in [0, 1] -> outputs before the ReLU: each earlier stage's last convolution, then the layer."""
        maps = before = (images - self.mean) / self.deviation
        features = []
        for layer in self.layers:
            if isinstance(layer, nn.MaxPool2d):
                features.append(before)  # the input of the ReLU
            before = maps
            maps = layer(maps)
        return [*features, maps]

    def forward(self, images: Tensor, target: Tensor) -> Tensor:
        """Compare two batches (b, 3, h, w) in [0, 1]; returns a scalar. No gradient flows into ``target``."""
        with torch.no_grad():
            target_features = self.features(target)[-1]
        return nn.functional.l1_loss(self.features(images)[-1], target_features)


def untrained_vgg(network: str) -> dict[str, Tensor]:
    """Zeros in place of the weights of ``vgg16`` or ``vgg19``, which a dry run does not need."""
    from torchvision.models import get_model

    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in get_model(network).features.state_dict().items()}
    return {f"features.{name}": torch.zeros(shape) for name, shape in shapes.items()}


def load_vgg(network: str) -> dict[str, Tensor]:
    """Load the weights of ``vgg16`` or ``vgg19`` by torchvision's names; downloads them on first use.

    Raises OfflineError; WeightsError, naming the place of the file, if it cannot be downloaded or read.
    """
    from torchvision.models import get_model_weights

    weights = get_model_weights(network).IMAGENET1K_V1
    path = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
    if not path.is_file():
        require_online(weights.url)
    try:
        tensors: dict[str, Tensor] = weights.get_state_dict(map_location="cpu", check_hash=True, weights_only=True)
    except Exception as error:  # on a damaged file the parser may raise anything
        reason = one_line(error)[:200]
        raise WeightsError(f"the perceptual loss needs {weights.url} ({reason}); put that file at {path}") from None
    return tensors
