"""p(HR | LR): the distribution of the HR images that an LR image may come from."""

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
from srflow.config import SRFlowConfig
from srflow.encoder import Encoder
from srflow.flow import ConditionalFlow, Level
from srflow.frame import Frame
from srflow.layers import Condition
from srflow.reversible import encode_reversibly
from srflow.tiled_decode import TiledDecoder, work

Value = TypeVar("Value")

LOG_2PI = math.log(2 * math.pi)

TOGETHER = 5
"""Most samples of one LR image that are decoded together."""
CACHE_PIXELS = 2**13
"""Pixels of a map of 64 channels that fit the caches of one core: 2 MB."""


class Given:
    """The distribution of HR images given one LR image (3, h, w), or given each of a batch (b, 3, h, w), in [0, 1].

    The encoder sees LR once, for all samples, temperatures and directions. Results carry no gradients, and a result
    that is not finite raises NumericsError, which names the layer. ``gradients=True`` is for training: results carry
    gradients where torch has them enabled, and are not checked; with ``reversible=True`` as well, activations are
    rebuilt rather than stored (``srflow.reversible``). Several threads may use one distribution.

    HR images and latents have a batch: (n, 3, s*h, s*w) with any n for one LR image, n = b for a batch. Latents are a
    list of tensors (n, c, h', w'), finest first, the deepest last. Odd sides of LR are extended by one pixel by
    reflection (a side of one pixel by repetition), and HR with them.
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
        """All of ``samples`` together: (n, 3, H, W) for one LR image, (n, b, 3, H, W) for a batch."""
        return torch.stack([*self.samples(n, temperature=temperature, generator=generator, tile=tile)])

    def samples(
        self,
        n: int = 1,
        *,
        temperature: float = TEMPERATURE,
        generator: torch.Generator | None = None,
        tile: int | None = None,
        progress: Callable[[float], None] = lambda share: None,
    ) -> Iterator[Tensor]:
        """Draw n HR images, not clamped: (3, H, W) each for one LR image, (b, 3, H, W) each for a batch.

        Every latent is drawn from a normal distribution of the standard deviation that ``temperatures`` gives it
        (SRFlow, section 3.5), on the CPU, by a generator of the CPU or torch's own: all latents of a sample, finest
        first, after those of the sample before. So a sample depends neither on n nor, up to rounding, on the tiles.
        If samples are projected onto LR, ``encode`` of a sample gives other latents than were drawn.

        With ``tile``, in squares of so many LR pixels and in memory for one sample; ``progress`` is then called with
        the share of the work that was done since its last call.
        """
        if tile is not None:
            encoding, decoding = work(self._flow, self._encoder)
            decoder = self._decoder(tile, lambda done: progress(done / (encoding + n * decoding)))
            for left in reversed(range(n)):
                x = self._decode_tiles(decoder, tile, self._draw(temperature, generator))
                if not left:
                    del decoder  # with the features of LR, to save memory below
                x = self._leave_by_channel(x, projected=True)
                yield x if self._lr.dim() == 4 else x[0]
                del x  # before the next sample is computed
            return
        together = TOGETHER if self._lr.dim() == 3 else 1
        left = n
        while left:
            drawn = [self._draw(temperature, generator) for _ in range(min(together, left))]
            try:
                images = self._images([torch.cat(latents) for latents in zip(*drawn, strict=True)])
            except (RuntimeError, MemoryError) as error:
                if len(drawn) == 1 or not out_of_memory(error):
                    raise
                warnings.warn("out of memory: samples are decoded one at a time", stacklevel=2)
                together = 1
                images = torch.cat([self._images(latents) for latents in drawn])
            left -= len(drawn)
            yield from images if self._lr.dim() == 3 else [images]

    def encode(self, hr: Tensor) -> tuple[list[Tensor], Tensor]:
        """HR (n, 3, H, W) -> latents and log|det d latents / d hr| of shape (n,).

        Raises ImageSizeError where HR does not belong to LR.
        """
        return self._finite(lambda given: given._encode(hr), hr=hr)

    def decode(self, latents: Sequence[Tensor], *, tile: int | None = None) -> Tensor:
        """Latents -> HR (n, 3, H, W), not clamped, not projected: the inverse of ``encode``.

        With ``tile``, in squares of so many LR pixels: the same image up to rounding, in memory for the image, the
        latents and the encoder's features at LR size, without gradients; see ``srflow.tiled_decode``.
        """
        if tile is not None:
            return self._leave_by_channel(self._decode_tiles(self._decoder(tile), tile, latents), projected=False)
        return self._finite(lambda given: given._decode(latents), latents=list(latents))

    def log_prob(self, hr: Tensor) -> Tensor:
        """The log-density log p(hr | lr) in nats, (n,): the density of the values in [0, 1], before any projection.

        If a side of LR is odd, that of the extended image. An image so unlikely that the number overflows has -inf.
        Raises ImageSizeError as ``encode`` does.
        """
        return log_density(*self.encode(hr))

    def nll(self, hr: Tensor) -> Tensor:
        """Negative log-likelihood in bits for each number of HR, extended if a side of LR is odd, (n,).

        There is no quantisation term.
        """
        return bits_per_dimension(*self.encode(hr))

    def temperatures(self, temperature: float) -> list[float]:
        """Standard deviation of each latent of a sample at this temperature."""
        factors = self._config.relative_temperatures or (1.0,) * len(self._flow.latent_shapes(*self._size))
        return [temperature * factor for factor in factors]

    @property
    def strides(self) -> list[int]:
        """HR pixels, to a side, that one location of each latent stands for."""
        return [self._size[0] // shape[1] for shape in self._flow.latent_shapes(*self._size)]

    def project(self, hr: Tensor) -> Tensor:
        """HR (n, 3, H, W) made to downscale to LR; ``hr`` itself where the model's samples are not projected."""
        return self._frame.project(hr)

    @cached_property
    def _conditions(self) -> list[Condition]:
        return self._flow.conditions(self._encoder(self._frame.lr))

    def _draw(self, temperature: float, generator: torch.Generator | None) -> list[Tensor]:
        """Latents of one sample of every LR image."""
        latents = []
        for shape, deviation in zip(self._flow.latent_shapes(*self._size), self.temperatures(temperature), strict=True):
            z = torch.randn((len(self._frame.lr), *shape), generator=generator, device="cpu")
            latents.append(z.to(self._lr).mul_(deviation))
        return latents

    @torch.no_grad()
    def _images(self, latents: Sequence[Tensor]) -> Tensor:
        return self.project(self.decode(latents))

    def _encode(self, hr: Tensor) -> tuple[list[Tensor], Tensor]:
        entered, entering = self._frame.enter(hr)
        if self._reversible:
            latents, log_det = encode_reversibly(self._flow, entered, self._encoder(self._frame.lr))
        else:
            latents, log_det = self._flow.encode(entered, self._conditions)
        return latents, log_det + entering

    def _decode(self, latents: Sequence[Tensor]) -> Tensor:
        inverse = _inverse_in_cache if len(self._frame.lr) == 1 else Level.inverse
        return self._frame.leave(self._flow.decode(latents, self._conditions, inverse))

    @torch.no_grad()
    def _decoder(self, tile: int, progress: Callable[[float], None] = lambda work: None) -> TiledDecoder:
        return TiledDecoder(self._flow, self._encoder, self._frame.lr, tile, progress)

    def _decode_tiles(self, decoder: TiledDecoder, tile: int, latents: Sequence[Tensor]) -> Tensor:
        """The output of the flow, computed in tiles."""

        def output(given: Given) -> Tensor:
            return (decoder if given is self else given._decoder(tile)).decode(latents)

        return self._finite(output, latents=list(latents))

    @torch.no_grad()
    def _leave_by_channel(self, x: Tensor, *, projected: bool) -> Tensor:
        """``Frame.leave``, then perhaps ``project``, in the memory of x and one channel at a time, to save memory."""
        for channel, frame in zip(torch.split(x, 1, 1), self._frame.channels(), strict=True):
            hr = frame.leave(channel)
            channel[..., : frame.height, : frame.width] = frame.project(hr) if projected else hr
        return x[..., : self._frame.height, : self._frame.width]

    def _finite(self, compute: Callable[[Given], Value], **inputs: Tensor | list[Tensor]) -> Value:
        """``compute(self)``; where the result is not finite it is computed again, from LR on, to find the layer."""
        if self._gradients:
            return compute(self)
        networks = nn.ModuleDict({"encoder": self._encoder, "flow": self._flow})
        networks.training = self._flow.training
        again = partial(Given, self._encoder, self._flow, self._config, self._lr)
        with torch.no_grad():
            return finite(networks, lambda: compute(self), lambda: compute(again()), lr=self._lr, **inputs)


def _inverse_in_cache(level: Level, z: Tensor, condition: Condition) -> Tensor:
    """``level.inverse`` of samples z (n, c, h, w), as many at a time as the caches of a core hold.

    All at once, ten samples of CelebA 8x take 1.24 times as long on two threads.
    """
    together = max(1, CACHE_PIXELS // z[0, 0].numel())
    if z.device.type != "cpu" or len(z) <= together:
        return level.inverse(z, condition)
    return torch.cat([level.inverse(samples, condition) for samples in torch.split(z, together)])


def log_density(latents: Sequence[Tensor], log_det: Tensor) -> Tensor:
    """The log-density of the image behind standard normal latents (n, ...), by the change of variables, (n,)."""
    for z in latents:
        log_det = log_det - 0.5 * (z.square() + LOG_2PI).flatten(1).sum(1)
    return log_det


def bits_per_dimension(latents: Sequence[Tensor], log_det: Tensor) -> Tensor:
    """The negative log-density of the image behind latents (n, ...), in bits for each of their numbers, (n,)."""
    return -log_density(latents, log_det) / (math.log(2) * sum(z[0].numel() for z in latents))
