"""The contract of a flow layer, and the layers of SRFlow.

Lugmayr et al., "SRFlow: Learning the Super-Resolution Space with Normalizing Flow", ECCV 2020, section 3.3. ActNorm and
the invertible 1x1 convolution come from Kingma and Dhariwal, "Glow", NeurIPS 2018.

A new layer is a single class: sampling, likelihood, training, reversible training and tiled decoding rely only on the
contract of ``FlowLayer``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srbench.interfaces import SRBenchError
from srbench.machine.precision import autocast
from srflow.affine import SCALE_FLOOR, ActNorm, Affine, AffineNetwork, ZeroConv
from srflow.compute.constants import CachedConstants
from srflow.features import Features, FeatureSize

Condition = Sequence[Any]
"""Tensors that a layer computes from the LR image, with batch size 1 (applied to any x) or that of x.
For a chain, the conditions of its layers."""


class FlowLayer(CachedConstants):
    """An invertible map of feature maps, conditioned on the features of an LR image.

    Every layer has ``forward`` and ``inverse``. Override ``condition`` if the layer sees the LR image, ``halo`` if it
    sees neighbouring pixels, and ``initialize`` if its parameters are initialised from data. Everything that depends on
    the LR image alone belongs in the condition, which is computed once for all samples, temperatures and directions.
    """

    halo: int = 0
    """Radius, in pixels at the size of z, of the neighbourhood that ``condition`` and ``inverse`` see."""

    def layers(self) -> Sequence[FlowLayer]:
        """The layers to apply one by one to save memory: the layer itself, or the layers of a chain."""
        return [self]

    def invalid_border(self, invalid: int) -> int:
        """Width of the invalid border after ``inverse`` of a crop whose outer ``invalid`` pixels are invalid."""
        return invalid + self.halo

    def condition(self, features: Features) -> Condition:
        """Compute everything that depends on the LR image alone."""
        return ()

    def forward(self, x: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """Map x (b, c, h, w) to z; also return this layer's log|det dz/dx|, (b,)."""
        raise NotImplementedError

    def inverse(self, z: Tensor, condition: Condition) -> Tensor:
        """Undo ``forward``, exactly up to rounding."""
        raise NotImplementedError

    def initialize(self, x: Tensor, features: Features) -> Tensor:
        """Set parameters from a first batch of the layer's inputs x (b, c, h, w); returns the output z."""
        z: Tensor = self(x, self.condition(features))[0]
        return z

    def retrace(self, z: Tensor, condition: Condition) -> tuple[Tensor, Tensor, Tensor]:
        """Rebuild the input x from z, then return x, z and the log-determinant with an autograd graph that starts at x.

        Override it in a layer that evaluates the same network in both directions, to evaluate it only once.
        """
        with torch.no_grad():
            x = self.inverse(z, condition)
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            return x, *self(x, condition)


class Chain(nn.Sequential, FlowLayer):
    """A sequence of layers that is itself a layer.

    Reversible training and tiled decoding apply ``layers`` one by one. So a chain has no parameters of its own, and a
    subclass overrides neither ``forward`` nor ``inverse``. Raises SRBenchError for a parameter.
    """

    def register_parameter(self, name: str, param: nn.Parameter | None) -> None:
        """Refuse a parameter of the chain itself."""
        raise SRBenchError(f"{type(self).__name__}.{name}: a chain has no parameters of its own; put it into a layer")

    def __iter__(self) -> Iterator[FlowLayer]:
        return cast(Iterator[FlowLayer], super().__iter__())

    @property
    def halo(self) -> int:  # type: ignore[override]
        """Upper bound, in pixels at the size of z, on the radius that all layers together see."""
        return self.invalid_border(0)

    def invalid_border(self, invalid: int) -> int:
        """Width of the invalid border after all inverses."""
        for layer in reversed(list(self)):
            invalid = layer.invalid_border(invalid)
        return invalid

    def layers(self) -> Sequence[FlowLayer]:
        """All layers of the chain and of nested chains, in encoding order."""
        return [inner for layer in self for inner in layer.layers()]

    def condition(self, features: Features) -> Condition:
        """The condition of every layer."""
        return [layer.condition(features) for layer in self]

    def initialize(self, x: Tensor, features: Features) -> Tensor:
        """Initialise every layer from the output of the previous layer."""
        for layer in self:
            x = layer.initialize(x, features)
        return x

    def forward(self, x: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        log_det = x.new_zeros(x.shape[0])
        for layer, own in zip(self, condition, strict=True):
            x, layer_log_det = layer(x, own)
            log_det = log_det + layer_log_det
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
    """An ActNorm and an invertible 1x1 convolution, initially a random rotation (Glow, sections 3.1 and 3.2).

    Both are computed as a single matrix product in either direction. The inverse and log-determinant of the matrix use
    float64, because the couplings amplify rounding errors. Without a coupling, this is the paper's transition step
    (SRFlow, section 3.4). Inverting a singular matrix raises torch.linalg.LinAlgError; in training it gives NaN,
    because raising an error would make every layer wait for the GPU.
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
        with autocast(x.device, enabled=False):
            weight, bias, log_det = self.constant("forward", self._forward)
            log_det = log_det.to(x) * (x.shape[-2] * x.shape[-1])
            return _mix(x, weight, bias), log_det.expand(x.shape[0])

    def inverse(self, z: Tensor, condition: Condition = ()) -> Tensor:
        with autocast(z.device, enabled=False):
            return _mix(z, *self.constant("inverse", self._inverse))

    def _forward(self) -> tuple[Tensor, Tensor, Tensor]:
        weight = self.weight * self.norm.log_scale.exp().flatten()
        log_det = _exact(self.norm.log_scale.sum()) + torch.linalg.slogdet(_exact(self.weight)).logabsdet
        return weight, weight @ self.norm.bias.flatten(1), log_det

    def _inverse(self) -> tuple[Tensor, Tensor]:
        scale = (-_exact(self.norm.log_scale)).exp().flatten(1)
        inverse, fault = torch.linalg.inv_ex(_exact(self.weight), check_errors=not self.training)
        if self.training:
            inverse = inverse.masked_fill(fault != 0, math.nan)
        weight = scale * inverse
        return weight.to(self.weight), -self.norm.bias.flatten(1)


def _exact(values: Tensor) -> Tensor:
    """Convert to float64, on the CPU if the values are on MPS, which lacks float64."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def _mix(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Apply a 1x1 convolution, matrix (c, c) and bias (c, 1), as a matrix product, which is faster for few channels."""
    return torch.baddbmm(bias, weight.expand(x.shape[0], -1, -1), x.flatten(2)).view(x.shape)


class AffineInjector(FlowLayer):
    """Shift and scale every element by values predicted from the LR image alone (SRFlow, equation 6)."""

    halo = 2

    def __init__(self, channels: int, features: FeatureSize, width: int, floor: float = SCALE_FLOOR) -> None:
        super().__init__()
        self.network = AffineNetwork(features, 0, width, channels, floor)

    def invalid_border(self, invalid: int) -> int:
        """Width of the border in which the input or the condition is invalid."""
        return max(invalid, self.halo)

    def condition(self, features: Features) -> Condition:
        """The affine map."""
        return self.network.affine(self.network.lr_term(features))

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
    """Shift and scale the second half of the channels, given the first half and the LR image (SRFlow, equation 5)."""

    halo = 2

    def __init__(self, channels: int, features: FeatureSize, width: int, floor: float = SCALE_FLOOR) -> None:
        super().__init__()
        self.kept = channels // 2
        self.network = AffineNetwork(features, self.kept, width, channels - self.kept, floor)

    def condition(self, features: Features) -> Condition:
        """The LR features' contribution to the network's first convolution."""
        return (self.network.lr_term(features),)

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
        """Like ``FlowLayer.retrace``, evaluating the network once, because both directions give it the same input."""
        x = z.detach().clone().requires_grad_()
        with torch.enable_grad():
            kept = x[:, : self.kept].clone()  # a copy, because the write to x below would invalidate the graph
            affine = self.network.affine(condition[0], kept)
        with torch.no_grad():
            x[:, self.kept :] = affine.inverse(z[:, self.kept :])
        with torch.enable_grad():
            changed = affine.forward(x[:, self.kept :])
            return x, torch.cat([kept, changed], 1), affine.log_det()


class Split(FlowLayer):
    """Standardise the second half of the channels by a mean and deviation predicted from the first half.

    ``Level`` then factors out the second half as a standard normal latent (SRFlow, section 3.3; Glow's multi-scale
    architecture). ``bound`` limits the log-deviation smoothly to (-bound, bound), because the inverse takes its
    exponential; None leaves it unbounded.
    """

    halo = 1

    def __init__(self, channels: int, bound: float | None = None) -> None:
        super().__init__()
        self.kept, self.latent_channels, self.bound = channels // 2, channels - channels // 2, bound
        self.prior = ZeroConv(self.kept, 2 * self.latent_channels)

    def forward(self, x: Tensor, condition: Condition = ()) -> tuple[Tensor, Tensor]:
        kept, rest = x[:, : self.kept], x[:, self.kept :]
        mean, log_deviation = self._normal(kept)
        latent = (rest - mean) * (-log_deviation).exp()
        return torch.cat([kept, latent], 1), -log_deviation.flatten(1).sum(1)

    def inverse(self, z: Tensor, condition: Condition = ()) -> Tensor:
        kept, latent = z[:, : self.kept], z[:, self.kept :]
        mean, log_deviation = self._normal(kept)
        return torch.cat([kept, mean + log_deviation.exp() * latent], 1)

    def _normal(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_deviation = self.prior(kept).to(kept.dtype).chunk(2, 1)
        if self.bound is not None:
            log_deviation = self.bound * torch.tanh(log_deviation / self.bound)
        return mean, log_deviation
