"""The contract of a flow layer, and the layers of SRFlow.

Lugmayr et al., "SRFlow: Learning the Super-Resolution Space with Normalizing Flow", ECCV 2020, section 3.3; ActNorm and
the invertible 1x1 convolution are those of Kingma and Dhariwal, "Glow", NeurIPS 2018.

A new layer is one class. Sampling, likelihood, training, reversible training and tiled decoding use nothing but the
contract of ``FlowLayer``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srflow.affine import SCALE_FLOOR, ActNorm, Affine, AffineNetwork, ZeroConv
from srflow.compute.constants import CachedConstants
from srflow.features import Features, FeatureSize

Condition = Sequence[Any]
"""Tensors that a layer computes from the LR image, of a batch of 1, which serves any batch, or of the batch of x; for
a chain, the conditions of its layers."""


class FlowLayer(CachedConstants):
    """An invertible map of feature maps, given the features of an LR image.

    Every layer has ``forward`` and ``inverse``. A layer that sees the LR image also has a ``condition``, one that sees
    neighbouring pixels a ``halo``, one that starts from data an ``initialize``. Everything that depends on the LR image
    alone belongs in the condition: it is computed once for all samples, all temperatures and both directions.
    """

    halo: int = 0
    """Pixels, at the size of z, that ``condition`` and ``inverse`` see to every side."""

    def layers(self) -> Sequence[FlowLayer]:
        """The layers to compute one after the other where memory is short: this one, or those of a chain."""
        return [self]

    def reach(self, wrong: int) -> int:
        """Pixels from the edge of a part of an image that ``inverse`` gets wrong, if its input is wrong in so many."""
        return wrong + self.halo

    def condition(self, features: Features) -> Condition:
        """All that the layer computes from the LR image alone."""
        return ()

    def forward(self, x: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """From x (b, c, h, w) to z, and log|det dz/dx| of shape (b,), this layer's own share only."""
        raise NotImplementedError

    def inverse(self, z: Tensor, condition: Condition) -> Tensor:
        """Undo ``forward``, exactly up to rounding."""
        raise NotImplementedError

    def initialize(self, x: Tensor, features: Features) -> Tensor:
        """Set parameters from a first batch x (b, c, h, w), the input of the layer; returns the output z."""
        z: Tensor = self(x, self.condition(features))[0]
        return z

    def retrace(self, z: Tensor, condition: Condition) -> tuple[Tensor, Tensor, Tensor]:
        """The input x of an output z, then z and the log-determinant again, with a graph that begins at x.

        A layer that evaluates the same network in both directions can do so once here.
        """
        with torch.no_grad():
            x = self.inverse(z, condition)
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            return x, *self(x, condition)


class Chain(nn.Sequential, FlowLayer):
    """Layers one after the other, as one layer."""

    def __iter__(self) -> Iterator[FlowLayer]:
        return cast(Iterator[FlowLayer], super().__iter__())

    @property
    def halo(self) -> int:  # type: ignore[override]
        """Pixels, at the size of z, that all layers together see to every side, at most."""
        return self.reach(0)

    def reach(self, wrong: int) -> int:
        """Pixels that the layers get wrong one after the other."""
        for layer in reversed(list(self)):
            wrong = layer.reach(wrong)
        return wrong

    def layers(self) -> Sequence[FlowLayer]:
        """All layers of the chain and of chains inside it, in encoding order."""
        return [part for layer in self for part in layer.layers()]

    def condition(self, features: Features) -> Condition:
        """The conditions of all layers."""
        return [layer.condition(features) for layer in self]

    def initialize(self, x: Tensor, features: Features) -> Tensor:
        """Set the parameters of every layer from the output of the one before."""
        for layer in self:
            x = layer.initialize(x, features)
        return x

    def forward(self, x: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        log_det = x.new_zeros(x.shape[0])
        for layer, own in zip(self, condition, strict=True):
            x, share = layer(x, own)
            log_det = log_det + share
        return x, log_det

    def inverse(self, z: Tensor, condition: Condition) -> Tensor:
        for layer, own in zip(reversed(list(self)), reversed(condition), strict=True):
            z = layer.inverse(z, own)
        return z


class Squeeze(FlowLayer):
    """Every 2x2 patch becomes four channels: (b, c, h, w) <-> (b, 4c, h/2, w/2). A permutation."""

    def forward(self, x: Tensor, condition: Condition = ()) -> tuple[Tensor, Tensor]:
        return F.pixel_unshuffle(x, 2), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, condition: Condition = ()) -> Tensor:
        return F.pixel_shuffle(z, 2)


class ChannelMixing(FlowLayer):
    """An ActNorm, then one full matrix that mixes the channels of every pixel, at first a random rotation.

    Glow, sections 3.1 and 3.2. Computed as one matrix product in either direction; inverse and log-determinant of the
    matrix in float64, because the couplings after it multiply what they lose. Without a coupling behind it, it is the
    paper's transition step (SRFlow, section 3.4). The inverse of a singular matrix raises torch.linalg.LinAlgError.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ActNorm(channels)
        self.weight = nn.Parameter(nn.init.orthogonal_(torch.empty(channels, channels)))

    def initialize(self, x: Tensor, features: Features) -> Tensor:
        """Set the ActNorm."""
        self.norm.initialize(x)
        return super().initialize(x, features)

    def forward(self, x: Tensor, condition: Condition = ()) -> tuple[Tensor, Tensor]:
        weight, bias, log_det = self.constant("forward", self._forward)
        log_det = log_det.to(x) * (x.shape[-2] * x.shape[-1])
        return _mix(x, weight, bias), log_det.expand(x.shape[0])

    def inverse(self, z: Tensor, condition: Condition = ()) -> Tensor:
        return _mix(z, *self.constant("inverse", self._inverse))

    def _forward(self) -> tuple[Tensor, Tensor, Tensor]:
        weight = self.weight * self.norm.log_scale.exp().flatten()
        log_det = _exact(self.norm.log_scale.sum()) + torch.linalg.slogdet(_exact(self.weight)).logabsdet
        return weight, weight @ self.norm.bias.flatten(1), log_det

    def _inverse(self) -> tuple[Tensor, Tensor]:
        scale = (-_exact(self.norm.log_scale)).exp().flatten(1)
        weight = scale * torch.linalg.inv(_exact(self.weight))
        return weight.to(self.weight), -self.norm.bias.flatten(1)


def _exact(values: Tensor) -> Tensor:
    """The values in float64; on the CPU if they are on MPS, which has none."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def _mix(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A 1x1 convolution, matrix (c, c) and bias (c, 1), as a product, which is faster for few channels."""
    return torch.baddbmm(bias, weight.expand(x.shape[0], -1, -1), x.flatten(2)).view(x.shape)


class AffineInjector(FlowLayer):
    """Shift and scale of every element by the LR image alone (SRFlow, equation 6)."""

    halo = 2

    def __init__(self, channels: int, features: FeatureSize, width: int, floor: float = SCALE_FLOOR) -> None:
        super().__init__()
        self.network = AffineNetwork(features, 0, width, channels, floor)

    def reach(self, wrong: int) -> int:
        """Pixels that are wrong already, or whose condition is."""
        return max(wrong, self.halo)

    def condition(self, features: Features) -> Condition:
        """The affine map."""
        return self.network.affine(self.network.share(features))

    def initialize(self, x: Tensor, features: Features) -> Tensor:
        """Set the ActNorms of the network."""
        self.network.initialize(features)
        return super().initialize(x, features)

    def forward(self, x: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        affine = Affine(*condition)
        return affine.forward(x), affine.log_det().expand(x.shape[0])

    def inverse(self, z: Tensor, condition: Condition) -> Tensor:
        return Affine(*condition).inverse(z)


class AffineCoupling(FlowLayer):
    """The first half of the channels and the LR image shift and scale the second half (SRFlow, equation 5)."""

    halo = 2

    def __init__(self, channels: int, features: FeatureSize, width: int, floor: float = SCALE_FLOOR) -> None:
        super().__init__()
        self.kept = channels // 2
        self.network = AffineNetwork(features, self.kept, width, channels - self.kept, floor)

    def condition(self, features: Features) -> Condition:
        """The LR image's share of the network's first convolution."""
        return (self.network.share(features),)

    def initialize(self, x: Tensor, features: Features) -> Tensor:
        """Set the ActNorms of the network."""
        self.network.initialize(features, x[:, : self.kept])
        return super().initialize(x, features)

    def forward(self, x: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        kept, changed = x[:, : self.kept], x[:, self.kept :]
        affine = self.network.affine(condition[0], kept)
        return torch.cat([kept, affine.forward(changed)], 1), affine.log_det()

    def inverse(self, z: Tensor, condition: Condition) -> Tensor:
        kept, changed = z[:, : self.kept], z[:, self.kept :]
        return torch.cat([kept, self.network.affine(condition[0], kept).inverse(changed)], 1)

    def retrace(self, z: Tensor, condition: Condition) -> tuple[Tensor, Tensor, Tensor]:
        """``inverse`` and ``forward`` with one evaluation of the network, whose input both directions share."""
        x = z.detach().clone().requires_grad_()
        with torch.enable_grad():
            kept = x[:, : self.kept].clone()  # a copy, because the rest of x is written below
            affine = self.network.affine(condition[0], kept)
        with torch.no_grad():
            x[:, self.kept :] = affine.inverse(z[:, self.kept :])
        with torch.enable_grad():
            changed = affine.forward(x[:, self.kept :])
            return x, torch.cat([kept, changed], 1), affine.log_det()


class Split(FlowLayer):
    """The first half of the channels predicts mean and deviation of the second, which becomes standard normal.

    An affine map like any other; ``Level`` then lets the second half leave as a latent (SRFlow, section 3.3; Glow's
    multi-scale architecture). ``bound`` smoothly limits the logarithm of the deviation to -bound ... bound, because the
    inverse takes its exponential; None: no limit.
    """

    halo = 1

    def __init__(self, channels: int, bound: float | None = None) -> None:
        super().__init__()
        self.kept, self.leaving, self.bound = channels // 2, channels - channels // 2, bound
        self.prior = ZeroConv(self.kept, 2 * self.leaving)

    def forward(self, x: Tensor, condition: Condition = ()) -> tuple[Tensor, Tensor]:
        kept, leaving = x[:, : self.kept], x[:, self.kept :]
        mean, log_deviation = self._normal(kept)
        latent = (leaving - mean) * (-log_deviation).exp()
        return torch.cat([kept, latent], 1), -log_deviation.flatten(1).sum(1)

    def inverse(self, z: Tensor, condition: Condition = ()) -> Tensor:
        kept, latent = z[:, : self.kept], z[:, self.kept :]
        mean, log_deviation = self._normal(kept)
        return torch.cat([kept, mean + log_deviation.exp() * latent], 1)

    def _normal(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_deviation = self.prior(kept).chunk(2, 1)
        if self.bound is not None:
            log_deviation = self.bound * torch.tanh(log_deviation / self.bound)
        return mean, log_deviation
