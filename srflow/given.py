"""p(HR | LR): the distribution of the HR images behind an LR image."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from srbench.interfaces import TEMPERATURE
from srbench.machine.memory import out_of_memory
from srbench.machine.numerics import finite
from srbench.machine.precision import products
from srflow.config import SRFlowConfig
from srflow.encoder import Encoder
from srflow.flow import ConditionalFlow, Level
from srflow.frame import Frame
from srflow.layers import Condition
from srflow.reversible import encode_reversibly
from srflow.tiled_decode import TiledDecoder, multiplications

Value = TypeVar("Value")

LOG_2PI = math.log(2 * math.pi)

SAMPLE_BATCH = 5
"""Largest number of samples of one LR image that are decoded in one batch."""
CACHE_PIXELS = 2**13
"""Pixels of a 64-channel feature map that fit into the caches of one core: 2 MB."""


class Given:
    """The distribution of HR images given one LR image (3, h, w), or given each LR image of a batch (b, 3, h, w).

    LR is in [0, 1] and is encoded once for all samples, temperatures and directions. Results carry no gradients, and a
    non-finite result raises NumericsError naming the layer. ``gradients=True`` is for training: results carry gradients
    unless torch has disabled them, and are not checked. ``reversible=True`` then rebuilds activations instead of
    storing them (``srflow.reversible``). Threads may share one instance.

    HR images and latents have a batch dimension: (n, 3, s*h, s*w) with any n for one LR image, and n = b for a batch.
    Latents are a list of tensors (n, c, h', w'), finest first. Odd sides of LR are padded by one pixel by reflection (a
    side of one pixel by repetition), and HR accordingly.
    """

    def __init__(
        self,
        encoder: Encoder,
        flow: ConditionalFlow,
        config: SRFlowConfig,
        lr: Tensor,
        *,
        gradients: bool = False,
        reversible: bool = False,
    ) -> None:
        self._encoder, self._flow, self._config = encoder, flow, config
        self._gradients, self._reversible = gradients, reversible
        self._lr = lr if gradients else lr.detach()
        self._frame = Frame(self._lr if lr.dim() == 4 else self._lr[None], config)
        height, width = self._frame.lr.shape[2:]
        self._size = height * config.encoder.scale, width * config.encoder.scale

    def sample(
        self,
        n: int = 1,
        *,
        temperature: float = TEMPERATURE,
        generator: torch.Generator | None = None,
        tile: int | None = None,
    ) -> Tensor:
        """Draw n HR images as ``samples`` does: (n, 3, H, W) for one LR image, (n, b, 3, H, W) for a batch."""
        return torch.stack([*self.samples(n, temperature=temperature, generator=generator, tile=tile)])

    def samples(
        self,
        n: int = 1,
        *,
        temperature: float = TEMPERATURE,
        generator: torch.Generator | None = None,
        tile: int | None = None,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Iterator[Tensor]:
        """Yield n HR images, not clamped: (3, H, W) each for one LR image, (b, 3, H, W) each for a batch.

        Latents are normally distributed with the standard deviations of ``temperatures`` (SRFlow, section 3.5). They
        are drawn on the CPU, from a CPU generator or torch's default one, sample by sample and finest latent first, so
        a sample depends neither on n nor, up to rounding, on the tile size. If samples are projected onto LR, encoding
        a sample does not return the latents that were drawn.

        ``tile`` decodes in square tiles of that many LR pixels a side, in the memory of one sample. ``progress`` is
        then called with the fraction of the work done since the last call.
        """
        if tile is not None:
            encoding, decoding = multiplications(self._flow, self._encoder)
            decoder = self._decoder(tile, lambda done: progress(done / (encoding + n * decoding)))
            for remaining in reversed(range(n)):
                x = self._decode_tiles(decoder, tile, self._draw(temperature, generator))
                if not remaining:
                    del decoder  # frees the LR features before the projection allocates memory
                x = self._leave_by_channel(x, projected=True)
                yield x if self._lr.dim() == 4 else x[0]
                del x  # frees the image before the next one is computed
            return
        batch = SAMPLE_BATCH if self._lr.dim() == 3 else 1
        remaining = n
        while remaining:
            drawn = [self._draw(temperature, generator) for _ in range(min(batch, remaining))]
            images: Tensor | None = None
            try:
                images = self._images([torch.cat(latents) for latents in zip(*drawn, strict=True)])
            except (RuntimeError, MemoryError) as error:
                if len(drawn) == 1 or not out_of_memory(error):
                    raise
            remaining -= len(drawn)
            if images is not None:
                yield from images if self._lr.dim() == 3 else [images]
                continue
            # after the block, as the error holds on to what the attempt has allocated
            warnings.warn("out of memory: samples are decoded one at a time", stacklevel=2)
            batch = 1
            for latents in drawn:
                yield self._images(latents)[0]

    def encode(self, hr: Tensor) -> tuple[list[Tensor], Tensor]:
        """Encode HR (n, 3, H, W) into latents and log|det d latents / d hr|, (n,).

        With a ``range_margin`` m, HR is first clamped into (-m, 1 + m), where ``decode`` inverts it. Raises
        ImageSizeError if the shape of HR does not match LR.
        """
        return self._finite(lambda given: given._encode(hr), hr=hr)

    def decode(self, latents: Sequence[Tensor], *, tile: int | None = None) -> Tensor:
        """Decode latents to HR (n, 3, H, W), not projected: the inverse of ``encode``.

        The latents of the result are other ones if the padding of an odd side of LR is cropped and, with a
        ``range_margin`` m, if the flow's values reach more than 7.25 m beyond [0, 1] (``srflow.value_range``), as those
        of an untrained network do.

        ``tile`` decodes in square tiles of that many LR pixels a side (``srflow.tiled_decode``): the same image up to
        rounding, without gradients, in less memory.
        """
        if tile is not None:
            return self._leave_by_channel(self._decode_tiles(self._decoder(tile), tile, latents), projected=False)
        return self._finite(lambda given: given._decode(latents), latents=list(latents))

    def log_prob(self, hr: Tensor) -> Tensor:
        """Log-density log p(hr | lr) in nats, (n,): the density of values in [0, 1], before any projection.

        If a side of LR is odd, this is the density of the padded image. Returns -inf for an image so unlikely that the
        value overflows. Raises ImageSizeError as ``encode`` does.
        """
        return log_density(*self.encode(hr))

    def bits_per_dimension(self, hr: Tensor) -> Tensor:
        """Negative log-likelihood in bits per dimension of HR, padded if a side of LR is odd, (n,).

        Contains no quantisation term.
        """
        return bits_per_dimension(*self.encode(hr))

    def temperatures(self, temperature: float) -> list[float]:
        """Standard deviation of each latent when sampling at this temperature."""
        factors = self._config.relative_temperatures or (1.0,) * len(self._flow.latent_shapes(*self._size))
        return [temperature * factor for factor in factors]

    @property
    def strides(self) -> list[int]:
        """Side, in HR pixels, of the square that one location of each latent covers."""
        return [self._size[0] // shape[1] for shape in self._flow.latent_shapes(*self._size)]

    def project(self, hr: Tensor) -> Tensor:
        """Project HR (n, 3, H, W) onto the images that downscale to LR; a no-op unless the model projects samples."""
        return self._frame.project(hr)

    @cached_property
    def _conditions(self) -> list[Condition]:
        return self._flow.conditions(self._encoder(self._frame.lr))

    def _draw(self, temperature: float, generator: torch.Generator | None) -> list[Tensor]:
        """Draw the latents of one sample for every LR image."""
        latents = []
        for shape, deviation in zip(self._flow.latent_shapes(*self._size), self.temperatures(temperature), strict=True):
            size = (len(self._frame.lr), *shape)
            z = torch.randn(size, generator=generator, device="cpu", dtype=torch.float32)
            latents.append(z.to(self._lr).mul_(deviation))
        return latents

    @torch.no_grad()
    def _images(self, latents: Sequence[Tensor]) -> Tensor:
        return self.project(self.decode(latents))

    def _encode(self, hr: Tensor) -> tuple[list[Tensor], Tensor]:
        x, frame_log_det = self._frame.enter(hr)
        if self._reversible:
            latents, log_det = encode_reversibly(self._flow, x, self._encoder(self._frame.lr))
        else:
            latents, log_det = self._flow.encode(x, self._conditions)
        return latents, log_det + frame_log_det

    def _decode(self, latents: Sequence[Tensor]) -> Tensor:
        inverse = _inverse_in_cache if len(self._frame.lr) == 1 else Level.inverse
        return self._frame.leave(self._flow.decode(latents, self._conditions, inverse))

    @torch.no_grad()
    def _decoder(self, tile: int, progress: Callable[[float], None] = lambda multiplications: None) -> TiledDecoder:
        with products(self._lr.device, tf32=False):
            return TiledDecoder(self._flow, self._encoder, self._frame.lr, tile, progress)

    def _decode_tiles(self, decoder: TiledDecoder, tile: int, latents: Sequence[Tensor]) -> Tensor:
        """Decode latents to the flow's output, in tiles."""

        def output(given: Given) -> Tensor:
            return (decoder if given is self else given._decoder(tile)).decode(latents)

        return self._finite(output, latents=list(latents))

    @torch.no_grad()
    def _leave_by_channel(self, x: Tensor, *, projected: bool) -> Tensor:
        """``Frame.leave`` and, if ``projected``, ``Frame.project``: in place and channel by channel to save memory."""
        for channel, frame in zip(torch.split(x, 1, 1), self._frame.channels(), strict=True):
            hr = frame.leave(channel)
            channel[..., : frame.height, : frame.width] = frame.project(hr) if projected else hr
        return x[..., : self._frame.height, : self._frame.width]

    def _finite(self, compute: Callable[[Given], Value], **inputs: Tensor | list[Tensor]) -> Value:
        """Return ``compute(self)``. If it is not finite, recompute from LR on to find the layer, and raise."""
        if self._gradients:
            return compute(self)
        networks = nn.ModuleDict({"encoder": self._encoder, "flow": self._flow})
        networks.training = self._flow.training
        again = partial(Given, self._encoder, self._flow, self._config, self._lr)
        with torch.no_grad(), products(self._lr.device, tf32=False):
            return finite(networks, lambda: compute(self), lambda: compute(again()), lr=self._lr, **inputs)


def _inverse_in_cache(level: Level, z: Tensor, condition: Condition) -> Tensor:
    """Apply ``level.inverse`` to samples z (n, c, h, w), in batches that fit into the caches of a core."""
    batch = max(1, CACHE_PIXELS // z[0, 0].numel())
    if z.device.type != "cpu" or len(z) <= batch:
        return level.inverse(z, condition)
    return torch.cat([level.inverse(samples, condition) for samples in torch.split(z, batch)])


def log_density(latents: Sequence[Tensor], log_det: Tensor) -> Tensor:
    """Log-density of the image with these latents (n, ...), by the change of variables, (n,)."""
    for z in latents:
        log_det = log_det - 0.5 * (z.square() + LOG_2PI).flatten(1).sum(1)
    return log_det


def bits_per_dimension(latents: Sequence[Tensor], log_det: Tensor) -> Tensor:
    """Negative log-density of the image with these latents (n, ...), in bits per dimension, (n,)."""
    return -log_density(latents, log_det) / (math.log(2) * sum(z[0].numel() for z in latents))
