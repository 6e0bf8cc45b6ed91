"""SRFlow: the distribution of HR pictures that fit an LR picture. Encode, decode, likelihood, sample.

Lugmayr et al., "SRFlow: Learning the Super-Resolution Space with Normalizing Flow", ECCV 2020.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from srbench.consistent import enlarge_consistently, make_consistent
from srbench.numerics import finite
from srbench.resize import downscale
from srbench.types import Box, SRBenchError, WeightsInfo
from srbench.weights.files import load_weights
from srbench.weights.pretrained import Family, fill, load_pretrained
from srflow.conditions import Features
from srflow.config import SRFlowConfig
from srflow.constants import Constants
from srflow.convert import convert_srflow
from srflow.cores import SMALL, Cores, one_by_one, side_by_side
from srflow.encoder import Encoder
from srflow.flow import ConditionalFlow, Conditions
from srflow.latents import blend, masks, move_patch, normalize_channels, normalize_locations
from srflow.reversible import encode_reversibly
from srflow.stripes import decode_in_stripes

LOG_2PI = math.log(2 * math.pi)
SEAM = 8
"""HR pixels to either side of an edge over which edited latents pass into those around them."""


class PictureError(SRBenchError):
    """A picture that the flow cannot take."""


class SRFlow(Constants):
    """The conditional normalizing flow. Pictures are RGB in [0, 1]; latents are standard normal."""

    weights: WeightsInfo
    """Set where the network was filled from a file."""

    def __init__(self, config: SRFlowConfig) -> None:
        super().__init__()
        self.config = config
        self.scale: int = config.encoder.scale
        self.reversible = False
        """Train without storing activations: see ``srflow.reversible``."""
        self.encoder = Encoder(config.encoder, config.stacked)
        self.flow = ConditionalFlow(config)

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

    def encode(self, hr: Tensor, lr: Tensor) -> tuple[list[Tensor], Tensor]:
        """HR (b, 3, H, W) and LR (b, 3, h, w) -> latents and log|det d latents / d hr| of shape (b,).

        Latents come finest first, the last one is the deepest. An odd LR side is extended by one pixel by reflection
        (a side of one pixel by repetition), the HR picture with it. Raises PictureError where the sizes do not belong
        together, NumericsError where the result is not finite.
        """
        height, width = lr.shape[-2:]
        if hr.shape[-2:] != (self.scale * height, self.scale * width):
            raise PictureError(
                f"HR {_size(hr)} does not belong to LR {_size(lr)}; "
                f"it has to be {self.scale} times as large: {self.scale * height}x{self.scale * width}"
            )
        *latents, log_det = finite(self, lambda: self._encode(hr, lr), hr=hr, lr=lr)
        return latents, log_det

    def decode(self, latents: list[Tensor], lr: Tensor) -> Tensor:
        """Latents as ``encode`` gives them and LR (b, 3, h, w) -> HR (b, 3, s*h, s*w), not clamped.

        Raises NumericsError where HR is not finite.
        """
        return self._whole(lambda: self._decode(latents, lr), lr, latents=latents)

    def _whole(self, decode: Callable[[], Tensor], lr: Tensor, **given: list[Tensor]) -> Tensor:
        """The picture of LR (b, 3, h, w) from what the flow decodes: the known part added, the extension cut off."""
        [hr] = finite(self, lambda: [decode()], lr=lr, **given)
        hr = hr + self._known(_even(lr, 1, *lr.shape[-2:]))
        return hr[..., : self.scale * lr.shape[-2], : self.scale * lr.shape[-1]]

    def _known(self, lr: Tensor) -> Tensor | float:
        """The part of a picture that is not left to the flow, from an LR picture of even sides."""
        return enlarge_consistently(lr, self.scale) if self.config.consistency == "residual" else 0.0

    def _fitting(self, hr: Tensor, lr: Tensor) -> Tensor:
        """A drawn or edited picture as it is given out: made consistent where the configuration says so."""
        return hr if self.config.consistency == "none" else make_consistent(hr, lr, self.scale)

    def _decode(self, latents: list[Tensor], lr: Tensor) -> Tensor:
        if self._is_small(lr):
            with side_by_side(lr.device) as cores:
                return self.flow.decode(latents, self._conditions(lr, cores), cores)
        conditions = self.conditions(lr)
        few = len(latents[0]) < torch.get_num_threads()
        with nullcontext(one_by_one()) if few else side_by_side(lr.device) as cores:
            return self.flow.decode(latents, conditions, cores)

    def conditions(self, lr: Tensor) -> Conditions:
        """All that the flow takes from LR (b, 3, h, w); b = 1 serves any number of samples."""
        features = None if self._is_small(lr) else self._features(lr)
        with side_by_side(lr.device) as cores:
            return self._conditions(lr, cores) if features is None else self.flow.conditions(features, cores)

    def _conditions(self, lr: Tensor, cores: Cores) -> Conditions:
        """Those of a small picture. Of the last one they are kept: more samples, temperatures, edits may follow."""

        def compute() -> tuple[Tensor, Conditions]:
            return lr.clone(), self.flow.conditions(self._features(lr), cores)

        known, conditions = self.constant("conditions", compute, *self.parameters())
        if not (known.dtype == lr.dtype and known.device == lr.device and torch.equal(known, lr)):
            self._kept.clear()
            _, conditions = self.constant("conditions", compute, *self.parameters())
        return conditions

    def _features(self, lr: Tensor) -> list[Features]:
        features: list[Features] = self.encoder(_even(lr, 1, *lr.shape[-2:]))
        return features

    def _is_small(self, lr: Tensor) -> bool:
        return self.scale**2 * lr.shape[-2] * lr.shape[-1] <= SMALL

    def log_prob(self, hr: Tensor, lr: Tensor) -> Tensor:
        """The log-density log p(hr | lr) in nats, (b,): the density of the values in [0, 1].

        Raises what ``encode`` raises; a picture so unlikely that the number overflows has -inf.
        """
        return _density(*self.encode(hr, lr))

    def nll(self, hr: Tensor, lr: Tensor) -> Tensor:
        """Negative log-likelihood in bits per dimension (3*H*W) of the picture as given, (b,): no quantisation term."""
        return -self.log_prob(hr, lr) / (math.log(2) * hr[0].numel())

    def forward(self, hr: Tensor, lr: Tensor) -> Tensor:
        """The training loss ``nll``, by the name that distributed training hooks.

        With ``reversible`` set its memory does not grow with the number of steps, and it takes longer. Sides of LR have
        to be even. A loss that is not finite is returned as it is: training passes over a few.
        """
        if self.reversible:
            latents, log_det = encode_reversibly(self.flow, hr - self._known(lr), self.encoder(lr))
        else:
            *latents, log_det = self._encode(hr, lr)
        return -_density(latents, log_det) / (math.log(2) * hr[0].numel())

    @torch.no_grad()
    def initialize(self, hr: Tensor, lr: Tensor) -> None:
        """Set every ActNorm from a first batch (Glow, section 3.1). Call once, before any wrapping for processes."""
        x = hr - self._known(lr)
        for level, features in zip(self.flow.each(), self.encoder(lr), strict=True):
            x = level.initialize(x, features)

    @torch.no_grad()
    def sample(self, lr: Tensor, n: int, *, temperature: float, generator: torch.Generator) -> Tensor:
        """Draw n pictures for one LR picture (3, h, w) -> (n, 3, s*h, s*w), not clamped.

        Every latent is drawn from a normal distribution of standard deviation ``temperature`` (SRFlow, section 3.5),
        times the configuration's relative temperature, on the CPU, where the generator has to be, finest latent first.
        """
        return self._fitting(self.decode(self._latents(lr, n, temperature, generator), lr[None]), lr)

    @torch.no_grad()
    def sample_in_tiles(
        self, lr: Tensor, n: int, *, temperature: float, generator: torch.Generator, tile: int
    ) -> Tensor:
        """As ``sample``, the same pictures, for LR pictures too large for the memory: see ``srflow.stripes``.

        A stripe has the area of a square of ``tile`` LR pixels.
        """
        latents = self._latents(lr, n, temperature, generator)
        even = _even(lr[None], 1, *lr.shape[-2:])
        hr = self._whole(lambda: decode_in_stripes(self.flow, latents, self.encoder, even, tile), lr[None])
        return self._fitting(hr, lr)

    def _encode(self, hr: Tensor, lr: Tensor) -> list[Tensor]:
        """The latents, and log_det at the end."""
        x = _even(hr, self.scale, *lr.shape[-2:]) - self._known(_even(lr, 1, *lr.shape[-2:]))
        latents, log_det = self.flow.encode(x, self.conditions(lr))
        return [*latents, log_det]

    @property
    def projected(self) -> bool:
        """Are samples projected onto the images that downscale to LR?"""
        return self.config.consistency != "none"

    @property
    def edit_grid(self) -> int:
        """HR pixels that one location of the deepest latent stands for: what boxes are aligned to."""
        return 1 << self.config.levels

    @torch.no_grad()
    def transfer_style(self, hr: Tensor, lr: Tensor, source: Box, target: Box, *, temperature: float) -> Tensor:
        """HR (3, s*h, s*w) with the texture at ``source`` also at ``target``, to fit LR (3, h, w); not clamped.

        The latents of the source box, times ``temperature``, replace those of the target box, repeated where that is
        larger, and the picture is decoded given its own LR (SRFlow, section 3.5, LR-consistent style transfer).
        Raises LatentError for a box that is not on the grid or leaves the picture.
        """
        latents, _ = self.encode(hr[None], lr[None])
        shape, strides = self._even_shape(lr), self._strides(latents, lr)
        moved = move_patch([temperature * z for z in latents], strides, source, target)
        inside = hr.new_zeros(shape)
        inside[target.y : target.y + target.height, target.x : target.x + target.width] = 1
        return self._fitting(self.decode(blend(latents, moved, masks(inside, strides, SEAM)), lr[None])[0], lr)

    @torch.no_grad()
    def transfer_content(
        self, hr: Tensor, lr: Tensor, pasted: Tensor, mask: Tensor, *, temperature: float, generator: torch.Generator
    ) -> Tensor:
        """HR (3, s*h, s*w) of LR (3, h, w), with the detail of ``pasted`` where the mask (s*h, s*w) is 1; not clamped.

        The pasted picture is encoded given its own LR. Its latents get a sample's statistics at this temperature,
        location by location (SRFlow, section 3.5, latent space normalization), replace those of HR inside the mask, and
        are decoded given LR. The paper encodes the pasted picture given the LR that is kept, which it does not fit;
        ``docs/latents.md`` compares the two. The generator lives on the CPU.
        """
        latents, _ = self.encode(hr[None], lr[None])
        content, _ = self.encode(pasted[None], downscale(pasted, self.scale)[None])
        strides = self._strides(latents, lr)
        soft = masks(_even(mask[None, None], self.scale, *lr.shape[-2:])[0, 0], strides, SEAM)
        latents = blend(latents, normalize_locations(content, temperature, generator), soft)
        return self._fitting(self.decode(latents, lr[None])[0], lr)

    @torch.no_grad()
    def restore(self, hr: Tensor, lr: Tensor, *, temperature: float, generator: torch.Generator) -> Tensor:
        """HR (3, s*h, s*w) without what a sample given LR (3, h, w) would not have, such as noise; not clamped.

        Its latents get a sample's statistics at this temperature, first channel by channel, then location by location
        (SRFlow, section 3.5, image restoration). The generator lives on the CPU.
        Raises LatentError for a picture of one location.
        """
        latents, _ = self.encode(hr[None], lr[None])
        for normalize in (normalize_channels, normalize_locations):
            latents = normalize(latents, temperature, generator)
        return self._fitting(self.decode(latents, lr[None])[0], lr)

    def _even_shape(self, lr: Tensor) -> tuple[int, int]:
        height, width = (self.scale * (side + side % 2) for side in lr.shape[-2:])
        return height, width

    def _strides(self, latents: list[Tensor], lr: Tensor) -> list[int]:
        return [self._even_shape(lr)[0] // z.shape[-2] for z in latents]

    def _latents(self, lr: Tensor, n: int, temperature: float, generator: torch.Generator) -> list[Tensor]:
        height, width = (side + side % 2 for side in lr.shape[-2:])
        shapes = self.flow.latent_shapes(self.scale * height, self.scale * width)
        factors = self.config.relative_temperatures or (1.0,) * len(shapes)
        return [
            torch.randn((n, *shape), generator=generator).to(lr.device, lr.dtype) * (temperature * factor)
            for shape, factor in zip(shapes, factors, strict=True)
        ]


def _density(latents: list[Tensor], log_det: Tensor) -> Tensor:
    """The log-density of the picture behind standard normal latents (b, ...): the change of variables, (b,)."""
    for z in latents:
        log_det = log_det - 0.5 * (z.square() + LOG_2PI).flatten(1).sum(1)
    return log_det


def _even(pictures: Tensor, scale: int, height: int, width: int) -> Tensor:
    """Extend by reflection at the bottom and right as if the LR sides height and width were made even.

    A side of one LR pixel has nothing to reflect; there the last row or column is repeated.
    """
    if height % 2:
        pictures = F.pad(pictures, (0, 0, 0, scale), mode="reflect" if height > 1 else "replicate")
    if width % 2:
        pictures = F.pad(pictures, (0, scale, 0, 0), mode="reflect" if width > 1 else "replicate")
    return pictures


def _size(pictures: Tensor) -> str:
    return f"{pictures.shape[-2]}x{pictures.shape[-1]}"
