"""p(HR | LR): the distribution of the HR images that an LR image may come from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from srbench.images.lr_projection import make_consistent
from srbench.system.numerics import finite
from srflow.compute import parallel
from srflow.compute.groups import in_groups
from srflow.config import SRFlowConfig
from srflow.encoder import Encoder
from srflow.flow import ConditionalFlow
from srflow.frame import Frame

Value = TypeVar("Value")

LOG_2PI = math.log(2 * math.pi)


class EncoderAndFlow(nn.Module):
    """The two networks of SRFlow, and what is common to all that is done with them."""

    def __init__(self, config: SRFlowConfig, flow: ConditionalFlow | None = None) -> None:
        """``flow``: another flow than the configuration's, of layers of one's own."""
        super().__init__()
        self.config = config
        self.scale: int = config.encoder.scale
        self.encoder = Encoder(config.encoder, config.stacked)
        self.flow = ConditionalFlow.from_config(config) if flow is None else flow

    @property
    def projected(self) -> bool:
        """Are samples projected onto the images that downscale to LR?"""
        return self.config.consistency == "residual"

    def frame(self, lr: Tensor) -> Frame:
        """LR (b, 3, h, w) as the flow sees it."""
        return Frame(lr, self.scale, residual=self.config.consistency == "residual")

    def draw(self, frame: Frame, n: int, temperature: float, generator: torch.Generator) -> Iterator[Tensor]:
        """Latents of n samples, finest first, drawn on the CPU when they are asked for."""
        shapes = self.flow.latent_shapes(*(self.scale * side for side in frame.lr.shape[-2:]))
        for shape, deviation in zip(shapes, self.temperatures(temperature), strict=True):
            yield torch.randn((n, *shape), generator=generator).to(frame.lr).mul_(deviation)

    def temperatures(self, temperature: float) -> list[float]:
        """The standard deviation of each latent of a sample at this temperature."""
        factors = self.config.relative_temperatures or (1.0,) * (self.config.levels - 1)
        return [temperature * factor for factor in factors]


TOGETHER = 5
"""Samples of one LR image that are decoded together at most."""


class Given:
    """The distribution of HR images given one LR image (3, h, w), or given each of a batch (b, 3, h, w).

    Made by ``SRFlow.given``. It owns all that the flow takes from LR, computed once for everything asked of it, with
    gradients where they were enabled then. It changes nothing: several threads may use it, or several of them.

    HR images and latents have a batch: (n, 3, s*h, s*w) with any n for one LR image, n = b for a batch. Latents are a
    list of tensors (n, c, h', w'), finest first, the deepest last. Sides of LR that are odd are extended by one pixel
    by reflection (a side of one pixel by repetition), HR with them.
    """

    def __init__(self, model: EncoderAndFlow, lr: Tensor) -> None:
        self._model, self.lr = model, lr
        self.frame = model.frame(lr if lr.dim() == 4 else lr[None])
        self._pixels = self.frame.lr[:, 0].numel() * model.scale**2
        with parallel.one_core(lr.device, self._pixels):
            features = model.encoder(self.frame.lr)
        self._conditions = model.flow.conditions(features)

    def encode(self, hr: Tensor) -> tuple[list[Tensor], Tensor]:
        """HR (n, 3, H, W) -> latents and log|det d latents / d hr| of shape (n,).

        Raises ImageSizeError where HR does not belong to LR, NumericsError where the result is not finite.
        """
        return self._checked(lambda given: given.encode_unchecked(hr), hr=hr)

    def encode_unchecked(self, hr: Tensor) -> tuple[list[Tensor], Tensor]:
        """As ``encode``, but the result may have any numbers: training passes over a few broken steps."""
        return self._model.flow.encode(self.frame.enter(hr), self._conditions)

    def decode(self, latents: Sequence[Tensor]) -> Tensor:
        """Latents -> HR (n, 3, H, W), not clamped: the inverse of ``encode``.

        Raises NumericsError where HR is not finite.
        """
        return self._checked(lambda given: given.decode_unchecked(latents), latents=list(latents))

    def decode_unchecked(self, latents: Sequence[Tensor]) -> Tensor:
        """As ``decode``, but the result may have any numbers."""
        decode = partial(self._model.flow.decode, conditions=self._conditions)
        one = self.frame.lr.shape[0] == 1
        return self.frame.leave(parallel.over_samples(decode, latents, self._pixels) if one else decode(latents))

    def _checked(self, compute: Callable[[Given], Value], **inputs: Tensor | list[Tensor]) -> Value:
        """Where the result is not finite, it is computed once more, from LR on, to find the layer."""
        again = partial(Given, self._model, self.lr)
        return finite(self._model, partial(compute, self), lambda: compute(again()), lr=self.lr, **inputs)

    def log_prob(self, hr: Tensor) -> Tensor:
        """The log-density log p(hr | lr) in nats, (n,): the density of the values in [0, 1], before any projection.

        Raises what ``encode`` raises; an image so unlikely that the number overflows has -inf.
        """
        return log_density(*self.encode(hr))

    def nll(self, hr: Tensor) -> Tensor:
        """Negative log-likelihood in bits per dimension (3*H*W) of HR as given, (n,): no quantisation term."""
        return bits_per_dimension(self.log_prob(hr), hr)

    @torch.no_grad()
    def sample(self, n: int, *, temperature: float, generator: torch.Generator) -> Tensor:
        """Draw n HR images of every LR image: (n, 3, H, W), of a batch (n, b, 3, H, W), not clamped.

        Every latent is drawn from a normal distribution of standard deviation ``temperature`` (SRFlow, section 3.5),
        times the configuration's relative temperature, on the CPU, where the generator has to be, finest latent first.
        A model whose samples are projected onto LR changes them after decoding: ``encode`` of a sample then gives other
        latents than were drawn.
        """
        if self.lr.dim() == 3:
            latents = self._model.draw(self.frame, n, temperature, generator)
            return in_groups(lambda drawn: self.project(self.decode(drawn)), latents, 3 * self._pixels, TOGETHER)
        batch = len(self.lr)
        return torch.stack([self.project(self.decode(self.latents(batch, temperature, generator))) for _ in range(n)])

    def latents(self, n: int, temperature: float, generator: torch.Generator) -> list[Tensor]:
        """Latents of n samples, as ``sample`` draws them."""
        return list(self._model.draw(self.frame, n, temperature, generator))

    @property
    def projected(self) -> bool:
        """Are samples projected onto the images that downscale to LR?"""
        return self._model.projected

    def project(self, hr: Tensor) -> Tensor:
        """HR (n, 3, H, W) made to downscale to LR, where the model's samples are; else as it is."""
        return make_consistent(hr, self.lr, self._model.scale) if self.projected else hr

    @property
    def strides(self) -> list[int]:
        """HR pixels, to a side, that one location of each latent stands for."""
        height, width = (self._model.scale * side for side in self.frame.lr.shape[-2:])
        return [height // shape[1] for shape in self._model.flow.latent_shapes(height, width)]

    def temperatures(self, temperature: float) -> list[float]:
        """Standard deviation of each latent of a sample at this temperature."""
        return self._model.temperatures(temperature)


def log_density(latents: Sequence[Tensor], log_det: Tensor) -> Tensor:
    """The log-density of the image behind standard normal latents (n, ...): the change of variables, (n,)."""
    for z in latents:
        log_det = log_det - 0.5 * (z.square() + LOG_2PI).flatten(1).sum(1)
    return log_det


def bits_per_dimension(log_prob: Tensor, hr: Tensor) -> Tensor:
    """Minus a log-density in nats (n,) of HR (n, 3, H, W), in bits for each of its numbers."""
    return -log_prob / (math.log(2) * hr[0].numel())
