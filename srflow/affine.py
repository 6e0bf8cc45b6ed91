"""ActNorm, and the small network that predicts the affine map of an injector or a coupling."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srflow.compute.constants import CachedConstants
from srflow.compute.convolution import channels_last, convolve
from srflow.features import FeatureConvolution, Features, FeatureSize

SCALE_FLOOR = 1e-4
"""Added to every sigmoid scale in the released networks, so that the inverse never divides by zero."""


class ActNorm(nn.Module):
    """Shift and scale every channel (Glow, section 3.1): (x + bias) * exp(log_scale).

    ``initialize`` sets both from a first batch. Give all processes the same batch.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.log_scale = nn.Parameter(torch.zeros(channels, 1, 1))

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Normalise every channel of x (b, c, h, w) to mean 0 and variance 1; constant channels are scaled by 1000."""
        mean = x.mean((0, 2, 3)).view(-1, 1, 1)
        deviation = (x - mean).square().mean((0, 2, 3)).sqrt().view(-1, 1, 1)
        self.bias.copy_(-mean)
        self.log_scale.copy_(-(deviation.clamp_min(1e-3) + 1e-6).log())

    def folded(self) -> tuple[Tensor, Tensor]:
        """Scale (c, 1, 1, 1) for the weights, and bias (c,), of a convolution that this layer is folded into."""
        scale = self.log_scale.exp()
        return scale[..., None], (self.bias * scale).flatten()

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> the same shape."""
        return (x + self.bias) * self.log_scale.exp()


class ZeroConv(CachedConstants):
    """A 3x3 convolution that starts at zero, scaled by exp(3 * log_scale) (Glow's code)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.log_scale = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(b, i, h, w) -> (b, o, h, w)."""
        weight, bias = self.constant("scaled", self.scaled)
        return convolve(x, weight, bias)

    def scaled(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias with the scale folded in."""
        factor = (3 * self.log_scale).exp()
        return self.weight * factor[:, None, None, None], self.bias * factor


class Affine(NamedTuple):
    """z = (x - shift) * scale, elementwise, with floor < scale < 1 + floor."""

    shift: Tensor
    scale: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Map x to z. A map with batch size 1 applies to any batch."""
        return (x - self.shift) * self.scale

    def inverse(self, z: Tensor) -> Tensor:
        """Map z to x."""
        return torch.addcdiv(self.shift, z, self.scale)

    def log_det(self) -> Tensor:
        """log|det dz/dx|, (b,)."""
        return self.scale.log().flatten(1).sum(1)


class AffineNetwork(CachedConstants):
    """Predict an affine map of ``channels`` channels from the LR features and, in couplings, the ``kept`` channels.

    3x3 convolution, ActNorm, ReLU, 1x1 convolution, ActNorm, ReLU, 3x3 convolution that starts at zero (SRFlow, section
    3.3). The first convolution is linear in its input channels, so ``lr_term`` computes the LR features' contribution
    once for all samples and both directions. Both ActNorms are folded into the convolutions before them. The scale of
    the map is at least ``floor``, because the inverse divides by it.
    """

    def __init__(self, features: FeatureSize, kept: int, width: int, channels: int, floor: float) -> None:
        super().__init__()
        self.floor = floor
        self.features = FeatureConvolution(features, width)
        self.first = nn.Parameter(nn.init.normal_(torch.empty(width, kept, 3, 3), std=0.05)) if kept else None
        self.norm_first = ActNorm(width)
        self.mix = nn.Conv2d(width, width, 1, bias=False)
        nn.init.normal_(self.mix.weight, std=0.05)
        self.norm_mix = ActNorm(width)
        self.last = ZeroConv(width, 2 * channels)

    @torch.no_grad()
    def initialize(self, features: Features, kept: Tensor | None = None) -> None:
        """Set both ActNorms from a first batch."""
        width = len(self.mix.weight)
        plain = self.features.folded(self.mix.weight.new_ones(width, 1, 1, 1), self.mix.weight.new_zeros(width))
        hidden = self.features.convolve(features, *plain)
        if kept is not None and self.first is not None:
            hidden = hidden + convolve(kept, self.first)
        self.norm_first.initialize(hidden)
        self.norm_mix.initialize(self.mix(F.relu(self.norm_first(hidden))))

    def lr_term(self, features: Features) -> Tensor:
        """The LR features' contribution to the first convolution, normalised: (b, width, h, w), channels last."""
        return self.features.convolve(features, *self.constant("features", self._feature_weights))

    def affine(self, lr_term: Tensor, kept: Tensor | None = None) -> Affine:
        """The affine map, from ``lr_term`` (1 or b, width, h, w) and ``kept`` (b, kept, h, w).

        Without ``kept``, ``lr_term`` is overwritten. Activations are computed in place because allocating memory is
        slow.
        """
        first, mix, mix_bias, last, last_bias = self.constant("network", self._network_weights)
        hidden = lr_term if kept is None or first is None else convolve(kept, first).add_(lr_term)
        hidden = convolve(hidden.relu_(), mix, mix_bias)
        hidden = F.relu(hidden, inplace=not torch.is_grad_enabled())  # in place, autograd would copy the map
        output = convolve(hidden, last, last_bias).to(last.dtype).contiguous()
        shift, scale = output.chunk(2, 1)
        return Affine(shift, torch.sigmoid(scale) + self.floor)

    def _feature_weights(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.features.folded(*self.norm_first.folded())

    def _network_weights(self) -> tuple[Tensor | None, Tensor, Tensor, Tensor, Tensor]:
        """Weights and biases for ``affine``, with ActNorms, scales and constants folded in."""
        first = None if self.first is None else channels_last(self.first * self.norm_first.folded()[0])
        scale, bias = self.norm_mix.folded()
        (negative, factor), (negative_bias, factor_bias) = (part.chunk(2) for part in self.last.scaled())
        # The released networks predict the negative shift, and take sigmoid(scale + 2).
        last, last_bias = torch.cat([-negative, factor]), torch.cat([-negative_bias, factor_bias + 2])
        return first, self.mix.weight * scale, bias, channels_last(last), last_bias
