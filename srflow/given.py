"""p(HR | LR): the distribution of the HR images that an LR image may come from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from srbench.images.lr_projection import make_consistent, make_consistent_in_place
from srbench.interfaces import TEMPERATURE
from srbench.machine.numerics import finite
from srflow.compute.groups import in_cache, in_groups
from srflow.config import SRFlowConfig
from srflow.encoder import Encoder
from srflow.flow import ConditionalFlow, Level
from srflow.frame import Frame
from srflow.layers import Condition
from srflow.tiled_decode import TiledDecoder, work

Value = TypeVar("Value")

LOG_2PI = math.log(2 * math.pi)

TOGETHER = 5
"""Most samples of one LR image that are decoded together."""
DRAWN_TOGETHER = 16
"""Numbers that torch's generator makes at once: tensors of a multiple of it may be drawn one by one."""


class Given:
    """The distribution of HR images given one LR image (3, h, w), or given each of a batch (b, 3, h, w), in [0, 1].

    The networks see LR once, when something is first asked, for all samples, temperatures and directions. Results carry
    no gradients, and one that is not finite raises NumericsError, which names the layer. ``gradients=True`` is for
    training: results carry gradients where torch has them enabled, and are returned as they are. Several threads may
    use one distribution.

    HR images and latents have a batch: (n, 3, s*h, s*w) with any n for one LR image, n = b for a batch. Latents are a
    list of tensors (n, c, h', w'), finest first, the deepest last. Odd sides of LR are extended by one pixel by
    reflection (a side of one pixel by repetition), and HR with them.
    """

    def __init__(
        self, encoder: Encoder, flow: ConditionalFlow, config: SRFlowConfig, lr: Tensor, *, gradients: bool = False
    ) -> None:
        self._encoder, self._flow, self._config, self._gradients = encoder, flow, config, gradients
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
        """Draw n HR images of one LR image: (n, 3, H, W), or of each of a batch: (n, b, 3, H, W); not clamped.

        Every latent is drawn from a normal distribution of the standard deviation that ``temperatures`` gives it
        (SRFlow, section 3.5), on the CPU, finest first, by a generator of the CPU or torch's own. Where the model's
        samples are projected onto LR, ``encode`` of a sample gives other latents than were drawn. ``tile`` is that of
        ``decode``.
        """

        def image(latents: Sequence[Tensor]) -> Tensor:
            return self.project(self.decode(latents, tile=tile))

        with torch.no_grad():
            if self._lr.dim() == 3 and tile is not None:
                return torch.stack([*self.samples(n, temperature=temperature, generator=generator, tile=tile)])
            if self._lr.dim() == 3:
                return in_groups(image, self._draw(n, temperature, generator), TOGETHER)
            batch = len(self._lr)
            return torch.stack([image(list(self._draw(batch, temperature, generator))) for _ in range(n)])

    def samples(
        self,
        n: int = 1,
        *,
        temperature: float = TEMPERATURE,
        generator: torch.Generator | None = None,
        tile: int,
        progress: Callable[[float], None] = lambda share: None,
    ) -> Iterator[Tensor]:
        """The samples of ``sample`` of one LR image, (3, H, W) each, one after another, in memory for one.

        ``progress`` is called with the share of all samples' work that is done since its last call.
        """
        height, width = self._frame.lr.shape[-2:]
        encoding, decoding = work(self._flow, self._encoder, height, width, tile)
        share = (encoding + decoding) / (encoding + n * decoding)
        with torch.no_grad():
            tiles = self._decoder(tile, lambda done: progress(done * share))
        drawn = self._draw_each(n, temperature, generator)
        for one in range(n):
            with torch.no_grad():
                image = self._decode_tiles(tiles, tile, next(drawn))
                if one == n - 1:
                    del tiles  # the features, which nothing below needs
                image = self._leave_in_place(image)
            yield image[0]
            del image

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
        return self._finite(lambda given: given._decode(latents, tile), latents=list(latents))

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
        return make_consistent(hr, self._lr, self._config.encoder.scale) if self._config.projected else hr

    @cached_property
    def _conditions(self) -> list[Condition]:
        return self._flow.conditions(self._encoder(self._frame.lr))

    def _draw(self, n: int, temperature: float, generator: torch.Generator | None) -> Iterator[Tensor]:
        """Latents of n samples, finest first, each drawn when it is asked for."""
        shapes = self._flow.latent_shapes(*self._size)
        for shape, deviation in zip(shapes, self.temperatures(temperature), strict=True):
            yield torch.randn((n, *shape), generator=generator, device="cpu").to(self._lr).mul_(deviation)

    def _decoder(self, tile: int, progress: Callable[[float], None] = lambda share: None) -> TiledDecoder:
        return TiledDecoder(self._flow, self._encoder, self._frame.lr, tile, progress)

    def _decode_tiles(self, tiles: TiledDecoder, tile: int, latents: list[Tensor]) -> Tensor:
        def image(given: Given) -> Tensor:
            return (tiles if given is self else given._decoder(tile)).decode(latents)

        return self._finite(image, latents=latents)

    def _leave_in_place(self, x: Tensor) -> Tensor:
        image, scale = self._frame.leave_in_place(x), self._config.encoder.scale
        return make_consistent_in_place(image, self._lr, scale) if self._config.projected else image

    def _draw_each(self, n: int, temperature: float, generator: torch.Generator | None) -> Iterator[list[Tensor]]:
        """Latents of n samples, one after another, as ``_draw`` draws all of them.

        That draws latent by latent. So all numbers are drawn once, and those of every sample but the first again, from
        the state that the generator had: 5 kB of memory for each. The generator is left as ``_draw`` leaves it.
        """
        shapes, deviations = self._flow.latent_shapes(*self._size), self.temperatures(temperature)
        if any(math.prod(shape) % DRAWN_TOGETHER for shape in shapes):  # in flows of one's own alone
            together = list(self._draw(n, temperature, generator))
            yield from ([z[one : one + 1] for z in together] for one in range(n))
            return
        source = torch.default_generator if generator is None else generator
        starts: list[list[Tensor]] = []
        latents = []
        for shape in shapes:
            starts.append([source.get_state()])
            latents.append(torch.randn((1, *shape), generator=source, device="cpu"))
            for _ in range(1, n):
                starts[-1].append(source.get_state())
                torch.randn((1, *shape), generator=source, device="cpu")
        for one in range(n):
            if one:
                now = source.get_state()  # whoever takes the samples may have drawn since
                for shape, states in zip(shapes, starts, strict=True):
                    source.set_state(states[one])
                    latents.append(torch.randn((1, *shape), generator=source, device="cpu"))
                source.set_state(now)
            yield [latents.pop(0).to(self._lr).mul_(deviation) for deviation in deviations]  # kept nowhere else

    def _encode(self, hr: Tensor) -> tuple[list[Tensor], Tensor]:
        entered, entering = self._frame.enter(hr)
        latents, log_det = self._flow.encode(entered, self._conditions)
        return latents, log_det + entering

    def _decode(self, latents: Sequence[Tensor], tile: int | None) -> Tensor:
        if tile is not None:
            return self._frame.leave_in_place(self._decoder(tile).decode(latents))
        inverse = _inverse_in_cache if len(self._frame.lr) == 1 else Level.inverse
        return self._frame.leave(self._flow.decode(latents, self._conditions, inverse))

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
    return in_cache(partial(level.inverse, condition=condition), z)


def log_density(latents: Sequence[Tensor], log_det: Tensor) -> Tensor:
    """The log-density of the image behind standard normal latents (n, ...), by the change of variables, (n,)."""
    for z in latents:
        log_det = log_det - 0.5 * (z.square() + LOG_2PI).flatten(1).sum(1)
    return log_det


def bits_per_dimension(latents: Sequence[Tensor], log_det: Tensor) -> Tensor:
    """The negative log-density of the image behind latents (n, ...), in bits for each of their numbers, (n,)."""
    return -log_density(latents, log_det) / (math.log(2) * sum(z[0].numel() for z in latents))
