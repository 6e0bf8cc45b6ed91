"""SRFlow: the distribution of HR images that fit an LR image, and how it is trained.

Lugmayr et al., "SRFlow: Learning the Super-Resolution Space with Normalizing Flow", ECCV 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from srbench.images.lr_projection import make_consistent
from srbench.images.resize import downscale
from srbench.interfaces import Box, WeightsInfo
from srbench.system.numerics import finite
from srbench.weights.files import load_weights
from srbench.weights.pretrained import Family, fill, load_pretrained
from srflow import editing
from srflow.checkpoints.convert import convert_srflow
from srflow.compute.groups import in_groups
from srflow.config import SRFlowConfig
from srflow.flow import ConditionalFlow
from srflow.given import EncoderAndFlow, Given, bits_per_dimension, log_density
from srflow.reversible import encode_reversibly
from srflow.tiled_decode import tiled_decode


class SRFlow(EncoderAndFlow):
    """The conditional normalizing flow. Images are RGB in [0, 1]; latents are standard normal.

    ``given(lr)`` is the distribution of HR images; the other methods are short forms of it for one call.
    """

    weights: WeightsInfo
    """Set where the network was filled from a file."""

    def __init__(self, config: SRFlowConfig, flow: ConditionalFlow | None = None) -> None:
        super().__init__(config, flow)
        self.reversible = False
        """Train without storing activations: see ``srflow.reversible``."""

    @classmethod
    def from_preset(cls, name: str, weights: Path | None = None) -> SRFlow:
        """A network of a preset's size, with untrained weights unless a weights file is named.

        Raises PresetError for an unknown preset, WeightsError for a file that does not fit.
        """
        model = cls(SRFlowConfig.from_preset(name))
        if weights is not None:
            fill(model, load_weights(weights)[0], weights)
        return model

    @classmethod
    def from_pretrained(cls, scale: int, weights: Path | None = None) -> SRFlow:
        """The packaged network of this scale, or the one in a weights file or an official checkpoint.

        Raises WeightsError where the file is damaged or of another scale, or where none is packaged for the scale.
        """
        family = Family("srflow", cls, SRFlowConfig, convert_srflow, "srflow")
        return load_pretrained(family, scale, weights)

    def given(self, lr: Tensor) -> Given:
        """The distribution of HR images given LR (3, h, w) in [0, 1], or given each of a batch (b, 3, h, w).

        Its work on LR is done here, with gradients unless they are disabled: call it within ``torch.no_grad()`` or
        ``torch.inference_mode()`` to sample.
        """
        return Given(self, lr)

    @torch.no_grad()
    def sample(self, lr: Tensor, n: int, *, temperature: float, generator: torch.Generator) -> Tensor:
        """``given(lr).sample``: LR (3, h, w) -> (n, 3, s*h, s*w), not clamped."""
        return self.given(lr).sample(n, temperature=temperature, generator=generator)

    def encode(self, hr: Tensor, lr: Tensor) -> tuple[list[Tensor], Tensor]:
        """``given(lr).encode``: HR (b, 3, H, W) and LR (b, 3, h, w) -> latents, and their log-determinant (b,)."""
        return self.given(lr).encode(hr)

    def decode(self, latents: Sequence[Tensor], lr: Tensor) -> Tensor:
        """``given(lr).decode``: latents and LR (b, 3, h, w) -> HR (b, 3, s*h, s*w), not clamped, not projected."""
        return self.given(lr).decode(latents)

    def log_prob(self, hr: Tensor, lr: Tensor) -> Tensor:
        """``given(lr).log_prob``: the log-density of HR (b, 3, H, W) in nats, (b,)."""
        return self.given(lr).log_prob(hr)

    def nll(self, hr: Tensor, lr: Tensor) -> Tensor:
        """``given(lr).nll``: the negative log-likelihood of HR (b, 3, H, W) in bits per dimension, (b,)."""
        return self.given(lr).nll(hr)

    def forward(self, hr: Tensor, lr: Tensor) -> Tensor:
        """The training loss ``nll``, by the name that distributed training hooks.

        With ``reversible`` set its memory does not grow with the number of steps, and it takes longer. A loss that is
        not finite is returned as it is: training passes over a few.
        """
        if self.reversible:
            frame = self.frame(lr)
            latents, log_det = encode_reversibly(self.flow, frame.enter(hr), self.encoder(frame.lr))
        else:
            latents, log_det = self.given(lr).encode_unchecked(hr)
        return bits_per_dimension(log_density(latents, log_det), hr)

    @torch.no_grad()
    def initialize(self, hr: Tensor, lr: Tensor) -> None:
        """Set every ActNorm from a first batch (Glow, section 3.1). Call once, before any wrapping for processes."""
        frame = self.frame(lr)
        self.flow.initialize(frame.enter(hr), self.encoder(frame.lr))

    @torch.no_grad()
    def sample_in_tiles(
        self, lr: Tensor, n: int, *, temperature: float, generator: torch.Generator, tile: int
    ) -> Tensor:
        """As ``sample``, the same images, for LR images too large for the memory: see ``srflow.tiled_decode``.

        A stripe has the area of a square of ``tile`` LR pixels.
        """
        frame = self.frame(lr[None])
        latents = self.draw(frame, n, temperature, generator)

        def decode(drawn: list[Tensor]) -> Tensor:
            compute = partial(tiled_decode, self.flow, drawn, self.encoder, frame.lr, tile)
            hr = frame.leave(finite(self, compute, compute, lr=lr, latents=drawn))
            return make_consistent(hr, lr, self.scale) if self.projected else hr

        return in_groups(decode, latents, 3 * frame.lr[0, 0].numel() * self.scale**2, n)

    @property
    def edit_grid(self) -> int:
        """HR pixels that one location of the deepest latent stands for: what boxes are aligned to."""
        return 1 << self.config.levels

    @torch.no_grad()
    def transfer_style(self, hr: Tensor, lr: Tensor, source: Box, target: Box, *, temperature: float) -> Tensor:
        """HR (3, s*h, s*w) with the texture at ``source`` also at ``target``: see ``srflow.editing``."""
        return editing.transfer_style(self.given(lr), hr, source, target, temperature=temperature)

    @torch.no_grad()
    def transfer_content(
        self, hr: Tensor, lr: Tensor, pasted: Tensor, mask: Tensor, *, temperature: float, generator: torch.Generator
    ) -> Tensor:
        """HR (3, s*h, s*w) with the detail of ``pasted`` where the mask (s*h, s*w) is 1: see ``srflow.editing``."""
        given, given_pasted = self.given(lr), self.given(downscale(pasted, self.scale))
        return editing.transfer_content(
            given, hr, given_pasted, pasted, mask, temperature=temperature, generator=generator
        )

    @torch.no_grad()
    def restore(self, hr: Tensor, lr: Tensor, *, temperature: float, generator: torch.Generator) -> Tensor:
        """HR (3, s*h, s*w) without what a sample would not have, such as noise: see ``srflow.editing``."""
        return editing.restore(self.given(lr), hr, temperature=temperature, generator=generator)
