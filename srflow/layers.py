"""The invertible layers of SRFlow, each with its own log-determinant and nothing else.

Lugmayr et al., "SRFlow: Learning the Super-Resolution Space with Normalizing Flow", ECCV 2020, section 3.3; ActNorm and
the invertible 1x1 convolution are those of Kingma and Dhariwal, "Glow", NeurIPS 2018.

A condition enters a layer in the form the layer uses it: whatever depends on the LR picture alone is computed once
by ``conditions.py`` and serves every sample, every temperature, and both directions.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srflow.constants import Constants
from srflow.convolution import channels_last, convolve
from srflow.precision import products

Condition = TypeVar("Condition")

SCALE_FLOOR = 1e-4
"""Added to every sigmoid scale of the released networks, so that the inverse cannot divide by zero."""


class FlowLayer(Constants, Generic[Condition]):
    """An invertible map of feature maps given a condition.

    forward: x (b, c, h, w), cond -> z, and log|det dz/dx| of shape (b,), this layer's own share only.
    inverse: z, cond -> x. Exact up to rounding; its log-determinant is minus the forward one.
    A condition whose batch is 1 serves any batch.
    """

    def forward(self, x: Tensor, cond: Condition) -> tuple[Tensor, Tensor]:
        """x, cond -> z, and log|det dz/dx| of shape (b,)."""
        raise NotImplementedError

    def inverse(self, z: Tensor, cond: Condition) -> Tensor:
        """Undo ``forward``."""
        raise NotImplementedError


class Squeeze(FlowLayer[None]):
    """Every 2x2 patch becomes four channels: (b, c, h, w) <-> (b, 4c, h/2, w/2). A permutation."""

    def forward(self, x: Tensor, cond: None = None) -> tuple[Tensor, Tensor]:
        """(b, c, h, w) -> (b, 4c, h/2, w/2), and zeros."""
        return F.pixel_unshuffle(x, 2), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, cond: None = None) -> Tensor:
        """(b, 4c, h/2, w/2) -> (b, c, h, w)."""
        return F.pixel_shuffle(z, 2)


class Folded(NamedTuple):
    """An ActNorm as part of the convolution before it: normalised conv(x, weight) = conv(x, weight * scale) + bias.

    Equal up to rounding, and two passes over the widest maps of the network less.
    """

    scale: Tensor
    bias: Tensor


class ActNorm(nn.Module):
    """Shift and scale of every channel (Glow, section 3.1): (x + bias) * exp(log_scale).

    ``initialize`` sets them from a first batch, by an explicit call, so that every process starts from equal values.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.log_scale = nn.Parameter(torch.zeros(channels, 1, 1))

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Give every channel of x (b, c, h, w) mean 0 and variance 1; a constant one is multiplied by 1000 at most."""
        mean = x.mean((0, 2, 3)).view(-1, 1, 1)
        deviation = (x - mean).square().mean((0, 2, 3)).sqrt().view(-1, 1, 1)
        self.bias.copy_(-mean)
        self.log_scale.copy_(-(deviation.clamp_min(1e-3) + 1e-6).log())

    def folded(self) -> Folded:
        """Scale and bias that a convolution before this layer takes into its weights, (c, 1, 1) and (c,)."""
        scale = self.log_scale.exp()
        return Folded(scale, (self.bias * scale).flatten())

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> the same shape."""
        return (x + self.bias) * self.log_scale.exp()


class InvertibleConv1x1(nn.Module):
    """One full matrix that mixes the channels of every pixel (Glow, section 3.2), at first a random rotation.

    Inverse and log-determinant are computed in float64: the couplings after them multiply what they lose.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.orthogonal_(torch.empty(channels, channels)))

    def log_abs_det(self) -> Tensor:
        """log|det weight|, float64: what every pixel adds to the log-determinant."""
        found: Tensor = torch.linalg.slogdet(self.weight.double()).logabsdet
        return found

    def inverted(self) -> Tensor:
        """The inverse matrix (c, c), float64. Raises torch.linalg.LinAlgError for a singular one."""
        found: Tensor = torch.linalg.inv(self.weight.double())
        return found


class Mixing(NamedTuple):
    """A 1x1 convolution of few channels: matrix (c, c) and bias (c, 1)."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> the same shape. As a matrix product, which measured 3 to 15 times as fast on a CPU."""
        weight = self.weight.expand(x.shape[0], -1, -1)
        return torch.baddbmm(self.bias, weight, x.flatten(2)).view(x.shape)


class ChannelMixing(Constants):
    """An ActNorm and an invertible 1x1 convolution, computed as one convolution in either direction."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm, self.mix = ActNorm(channels), InvertibleConv1x1(channels)

    def normalize_and_mix(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(b, c, h, w) -> the same shape, and the log-determinant (b,)."""
        with products(x.device, tf32=False):
            mixing, log_det = self.constant("forward", self._forward, *self._sources())
            log_det = log_det.to(x.dtype) * (x.shape[-2] * x.shape[-1])
            return mixing(x), log_det.expand(x.shape[0])

    def unmix(self, z: Tensor) -> Tensor:
        """Undo ``normalize_and_mix``. Raises torch.linalg.LinAlgError for a singular matrix."""
        with products(z.device, tf32=False):
            return self.constant("inverse", self._inverse, *self._sources())(z)

    def _sources(self) -> tuple[Tensor, ...]:
        return self.norm.bias, self.norm.log_scale, self.mix.weight

    def _forward(self) -> tuple[Mixing, Tensor]:
        weight = self.mix.weight * self.norm.log_scale.exp().flatten()
        return Mixing(weight, weight @ self.norm.bias.flatten(1)), self.norm.log_scale.sum() + self.mix.log_abs_det()

    def _inverse(self) -> Mixing:
        weight = (-self.norm.log_scale.double()).exp().flatten(1) * self.mix.inverted()
        return Mixing(weight.to(self.mix.weight.dtype), -self.norm.bias.flatten(1))


class ZeroConv(Constants):
    """A 3x3 convolution that starts at zero, scaled by exp(3 * log_scale) (Glow's code)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.log_scale = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(b, i, h, w) -> (b, o, h, w)."""
        weight, bias = self.constant("scaled", self.scaled, *self.parameters())
        return convolve(x, weight, bias)

    def scaled(self) -> tuple[Tensor, Tensor]:
        """Weight and bias, the scale folded in."""
        factor = (3 * self.log_scale).exp()
        return self.weight * factor[:, None, None, None], self.bias * factor


class Affine(NamedTuple):
    """z = (x - centre) * scale, elementwise, with scale between a floor and one above it."""

    centre: Tensor
    scale: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """From x to z; a batch of 1 serves any batch."""
        return (x - self.centre) * self.scale

    def inverse(self, z: Tensor) -> Tensor:
        """From z to x."""
        return torch.addcdiv(self.centre, z, self.scale)

    def log_det(self) -> Tensor:
        """log|det dz/dx|, (b,)."""
        return self.scale.log().flatten(1).sum(1)


class NetworkWeights(NamedTuple):
    """Weights and biases of an AffineNetwork's two convolutions, with all that is constant folded in."""

    mix: Tensor
    mix_bias: Tensor
    last: Tensor
    last_bias: Tensor


class AffineNetwork(nn.Module):
    """From the first convolution's output (b, width, h, w) to a shift and a scale of ``channels`` each.

    ActNorm, ReLU, 1x1 convolution, ActNorm, ReLU, 3x3 convolution that starts at zero. The first ActNorm is folded
    into the first convolution, which is elsewhere, since it sees both the LR picture and the flow's channels; the
    second into the 1x1 convolution.
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.norm_first = ActNorm(width)
        self.mix = nn.Conv2d(width, width, 1, bias=False)
        nn.init.normal_(self.mix.weight, std=0.05)
        self.norm_mix = ActNorm(width)
        self.last = ZeroConv(width, 2 * channels)

    def initialize(self, hidden: Tensor) -> None:
        """Set the inner ActNorms from a first batch, before any normalisation."""
        self.norm_first.initialize(hidden)
        self.norm_mix.initialize(self.mix(F.relu(self.norm_first(hidden))))

    def folded(self) -> NetworkWeights:
        """The weights that ``apply_network`` takes."""
        norm = self.norm_mix.folded()
        (shift, scale), (shift_bias, scale_bias) = (part.chunk(2) for part in self.last.scaled())
        # The released networks predict minus the centre, and the scale before sigmoid(scale + 2).
        last, last_bias = torch.cat([-shift, scale]), torch.cat([-shift_bias, scale_bias + 2])
        return NetworkWeights(self.mix.weight * norm.scale[..., None], norm.bias, channels_last(last), last_bias)


def apply_network(hidden: Tensor, weights: NetworkWeights) -> Tensor:
    """An AffineNetwork from its first convolution's output, rectified: (b, width, h, w) -> (b, 2*channels, h, w).

    Wide maps are channels last, the result is not.
    """
    # In place only without gradients: autograd copies whole maps where it has to follow a change through a view.
    mixed = F.relu(convolve(hidden, weights.mix, weights.mix_bias), inplace=not torch.is_grad_enabled())
    return convolve(mixed, weights.last, weights.last_bias).contiguous()


def to_affine(output: Tensor, floor: float) -> Affine:
    """Of a network's output (b, 2*channels, h, w) the first half is the centre, the sigmoid of the second the scale.

    ``floor`` is the least scale: the inverse divides by it.
    """
    centre, scale = output.chunk(2, 1)
    return Affine(centre, torch.sigmoid(scale) + floor)


class AffineInjector(FlowLayer[Affine]):
    """Shift and scale of every element by the LR picture alone (SRFlow, equation 6)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.network = AffineNetwork(width, channels)

    def forward(self, x: Tensor, cond: Affine) -> tuple[Tensor, Tensor]:
        """(b, c, h, w) -> the same shape, and the log-determinant (b,)."""
        return cond.forward(x), cond.log_det().expand(x.shape[0])

    def inverse(self, z: Tensor, cond: Affine) -> Tensor:
        """(b, c, h, w) -> the same shape."""
        return cond.inverse(z)


class AffineCoupling(FlowLayer[Tensor]):
    """The first half of the channels and the LR picture shift and scale the second half (SRFlow, equation 5).

    ``cond`` (b, width, h, w) is the LR picture's share of the first convolution, normalised: a convolution is linear in
    its input channels, so that share is computed beforehand and the first half's share is added here.
    """

    def __init__(self, channels: int, width: int, floor: float = SCALE_FLOOR) -> None:
        super().__init__()
        self.kept, self.floor = channels // 2, floor
        self.first = nn.Conv2d(self.kept, width, 3, padding=1, bias=False)
        nn.init.normal_(self.first.weight, std=0.05)
        self.network = AffineNetwork(width, channels - self.kept)

    def initialize(self, x: Tensor, cond: Tensor) -> None:
        """Set the inner ActNorms from a first batch; ``cond`` is the LR picture's share before normalisation."""
        self.network.initialize(self.first(x[:, : self.kept]) + cond)

    def forward(self, x: Tensor, cond: Tensor) -> tuple[Tensor, Tensor]:
        """(b, c, h, w) -> the same shape, and the log-determinant (b,)."""
        kept, changed = x[:, : self.kept], x[:, self.kept :]
        affine = self.affine(kept, cond)
        return torch.cat([kept, affine.forward(changed)], 1), affine.log_det()

    def inverse(self, z: Tensor, cond: Tensor) -> Tensor:
        """(b, c, h, w) -> the same shape."""
        kept, changed = z[:, : self.kept], z[:, self.kept :]
        return torch.cat([kept, self.affine(kept, cond).inverse(changed)], 1)

    def affine(self, kept: Tensor, cond: Tensor) -> Affine:
        """The map of the second half of the channels, from the first half (b, kept, h, w)."""
        first, weights = self.constant("folded", self._folded, *self.parameters())
        # The first half's share has the batch of the samples, ``cond`` may have one of 1.
        with products(kept.device, tf32=False):
            return to_affine(apply_network(convolve(kept, first).add_(cond).relu_(), weights), self.floor)

    def _folded(self) -> tuple[Tensor, NetworkWeights]:
        first = self.first.weight * self.network.norm_first.folded().scale[..., None]
        return channels_last(first), self.network.folded()


class Split(FlowLayer[None]):
    """The first half of the channels predicts mean and deviation of the second, which becomes standard normal.

    An affine map like any other; the level then lets the second half leave as a latent. (SRFlow, section 3.3; Glow's
    multi-scale architecture.) ``bound``, where there is one, keeps the logarithm of the deviation between -bound and
    bound, smoothly: the inverse takes its exponential.
    """

    def __init__(self, channels: int, bound: float | None = None) -> None:
        super().__init__()
        self.kept, self.bound = channels // 2, bound
        self.prior = ZeroConv(self.kept, 2 * (channels - self.kept))

    def forward(self, x: Tensor, cond: None = None) -> tuple[Tensor, Tensor]:
        """(b, c, h, w) -> the same shape, and the log-determinant (b,)."""
        kept, leaving = x[:, : self.kept], x[:, self.kept :]
        mean, log_deviation = self._normal(kept)
        latent = (leaving - mean) * (-log_deviation).exp()
        return torch.cat([kept, latent], 1), -log_deviation.flatten(1).sum(1)

    def inverse(self, z: Tensor, cond: None = None) -> Tensor:
        """(b, c, h, w) -> the same shape."""
        kept, latent = z[:, : self.kept], z[:, self.kept :]
        mean, log_deviation = self._normal(kept)
        return torch.cat([kept, mean + log_deviation.exp() * latent], 1)

    def _normal(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        with products(kept.device, tf32=False):
            mean, log_deviation = self.prior(kept).chunk(2, 1)
        if self.bound is not None:
            log_deviation = self.bound * torch.tanh(log_deviation / self.bound)
        return mean, log_deviation
