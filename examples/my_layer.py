"""Your own flow layer in srbench: srbench run --models examples/my_layer.py:make:my_flow.pth --scale 4.

my_flow.pth is the ``state_dict`` of the network that ``make`` returns, after your training.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from srflow import SRFlow, SRFlowConfig
from srflow.features import Features
from srflow.flow import ConditionalFlow
from srflow.layers import FlowLayer


class Shift(FlowLayer):
    """Adds a convolution of the LR features: the Jacobian is the identity."""

    halo = 1

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(0.05 * torch.randn(channels, features, 3, 3))

    def condition(self, features: Features) -> Sequence[Tensor]:
        return (F.conv2d(features.own, self.weight, padding=1),)

    def forward(self, x: Tensor, condition: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        return x + condition[0], x.new_zeros(len(x))

    def inverse(self, z: Tensor, condition: Sequence[Tensor]) -> Tensor:
        return z - condition[0]


def make(scale: int) -> SRFlow:
    """The small SRFlow with the layer at the end of every flow step."""
    config = SRFlowConfig.from_preset(f"mini-x{scale}")
    flow = ConditionalFlow.from_config(config)
    for level in flow.levels:
        for step in level.steps:
            step.append(Shift(len(step.mixing.weight), config.encoder.features))
    return SRFlow(config, flow)
