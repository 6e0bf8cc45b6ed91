"""Rectified flow of the residual: HR images are sampled by integrating a velocity from noise to what RRDB leaves out.

Liu et al., "Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow", ICLR 2023. With noise
e and the residual r = (HR - RRDB(LR)) / deviation, the points r_t = (1 - t) e + t r lie between them, and the network
learns the mean velocity of all such lines through a point, E[r - e | r_t, t, LR] (conditional flow matching: Lipman et
al., ICLR 2023). A sample follows it from t = 0 to 1 by the midpoint rule, and is then projected onto the images that
downscale to LR.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.rrdb import MAX_SIZE, RRDBConfig, RRDBNet
from srbench.files.config import require_range
from srbench.images import ImageError
from srbench.images.lr_projection import make_consistent
from srbench.images.network_input import require_lr
from srbench.images.tiling import Bounds, crop
from srbench.interfaces import WeightsInfo
from srbench.weights.pretrained import PretrainedModel, load_pretrained

EMBEDDING = 128
"""Channels of the embedding of t."""
UPSCALE_HALO = 2
"""Halo of a tile, in LR pixels, for RRDB's convolutions after its trunk."""


@dataclass(frozen=True)
class RectifiedFlowConfig:
    """Size of a rectified flow, and how it is sampled."""

    rrdb: RRDBConfig
    widths: tuple[int, ...]
    """Channels of the levels at 1/2, 1/4, ... of the size of HR."""
    depths: tuple[int, ...]
    """Residual blocks of each level. The last level has all of them in a row; the other levels have the first block
    before it and the rest after it."""
    deviation: float
    """Standard deviation of HR - RRDB(LR) over the training images."""
    sampling_steps: int = 4
    """Steps of a sample, each with two evaluations of the velocity."""

    def __post_init__(self) -> None:
        if not self.widths or len(self.widths) != len(self.depths):
            raise ValueError(
                f"widths are {list(self.widths)} and depths {list(self.depths)}; each level needs a width and a depth"
            )
        for name in ("widths", "depths"):
            if not all(1 <= value <= MAX_SIZE for value in getattr(self, name)):
                raise ValueError(f"{name} are {list(getattr(self, name))}; they have to be 1 to {MAX_SIZE}")
        require_range(self, ["sampling_steps"], 1, MAX_SIZE)
        if not 0 < self.deviation < math.inf:
            raise ValueError(f"deviation is {self.deviation}; it has to be finite and above 0")

    @property
    def grid(self) -> int:
        """Number of LR pixels that the sides of LR and of its tiles have to be multiples of."""
        return max(1, (1 << len(self.widths)) // self.rrdb.scale)

    @property
    def halo(self) -> int:
        """Pixels around a tile that its velocity depends on, in LR pixels and a multiple of ``grid``."""
        halo = 0
        levels = [(2 ** (index + 1), depth) for index, depth in enumerate(self.depths)]
        for cell, depth in levels[:-1]:  # from the image down: the last convolution and the blocks of the decoder
            halo = _whole(halo, cell) + cell * (2 * (depth - 1) + (cell == 2))
        cell, depth = levels[-1]
        halo = _whole(halo, cell) + cell * (2 * depth + (2 if len(levels) == 1 else 0))
        for cell, _ in reversed(levels[:-1]):  # and up again: the first block of each level, the first convolution
            halo += cell * (2 + (cell == 2))
        scale = self.rrdb.scale
        return _whole(-(-halo // scale), self.grid)


class Normalization(nn.LayerNorm):
    """Normalisation of each pixel over its channels. It is local, so that tiles give the pixels of the whole image."""

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> the same shape."""
        normalized: Tensor = super().forward(x.permute(0, 2, 3, 1))
        return normalized.permute(0, 3, 1, 2)


class Block(nn.Module):
    """Residual block whose second normalisation is scaled and shifted by the embedding of t."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_in = Normalization(width)
        self.conv_in = nn.Conv2d(width, width, 3, padding=1)
        self.modulation = nn.Linear(EMBEDDING, 2 * width)
        self.norm_out = Normalization(width, elementwise_affine=False)
        self.conv_out = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        assert self.conv_out.bias is not None
        nn.init.zeros_(self.conv_out.bias)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(b, width, h, w) and (b, EMBEDDING) -> (b, width, h, w)."""
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, 1)
        y = self.norm_out(self.conv_in(F.silu(self.norm_in(x))))
        out: Tensor = x + self.conv_out(F.silu(torch.addcmul(y + shift, y, scale)))
        return out


class Blocks(nn.ModuleList):
    """Residual blocks in a row."""

    def __init__(self, width: int, number: int) -> None:
        super().__init__(Block(width) for _ in range(number))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """See ``Block.forward``."""
        for block in self:
            x = block(x, embedding)
        return x


class Velocity(nn.Module):
    """U-Net of the velocity: levels at 1/2, 1/4, ... of the size of HR, each conditioned on RRDB's trunk features."""

    def __init__(self, config: RectifiedFlowConfig) -> None:
        super().__init__()
        widths, depths = config.widths, config.depths
        neighbours = [*pairwise(widths)]
        encoder_depths = [1] * (len(widths) - 1) + [depths[-1]]
        self.embed = nn.Sequential(
            nn.Linear(EMBEDDING, EMBEDDING), nn.SiLU(), nn.Linear(EMBEDDING, EMBEDDING), nn.SiLU()
        )
        self.conv_first = nn.Conv2d(4 * 6, widths[0], 3, padding=1)
        self.conditions = nn.ModuleList(nn.Conv2d(config.rrdb.features, width, 1) for width in widths)
        self.encoder = nn.ModuleList(map(Blocks, widths, encoder_depths))
        self.down = nn.ModuleList(nn.Conv2d(4 * upper, lower, 1) for upper, lower in neighbours)
        self.up = nn.ModuleList(nn.Conv2d(lower, 4 * upper, 1) for upper, lower in neighbours)
        self.decoder = nn.ModuleList(
            Blocks(width, depth - 1) for width, depth in zip(widths, depths[:-1], strict=False)
        )
        self.norm_last = Normalization(widths[0])
        self.conv_last = nn.Conv2d(widths[0], 4 * 3, 3, padding=1)
        nn.init.zeros_(self.conv_last.weight)
        assert self.conv_last.bias is not None
        nn.init.zeros_(self.conv_last.bias)

    def forward(self, points: Tensor, times: Tensor, features: Tensor, base: Tensor) -> Tensor:
        """Return the velocity at points r_t (b, 3, H, W) and times (b,), (b, 3, H, W).

        ``features`` are those of RRDB's trunk, (b, c, h, w), and ``base`` is RRDB's output, (b, 3, H, W).
        """
        embedding = self.embed(_sinusoids(times))
        x = self.conv_first(_channels_last(F.pixel_unshuffle(torch.cat([points, base], 1), 2)))
        skips: list[Tensor] = []
        for index, blocks in enumerate(self.encoder):
            if index:
                skips.append(x)
                x = self.down[index - 1](F.pixel_unshuffle(x, 2))
            x = blocks(x + _resized(self.conditions[index](features), x), embedding)
        for index, blocks in reversed([*enumerate(self.decoder)]):
            x = blocks(F.pixel_shuffle(self.up[index](x), 2) + skips[index], embedding)
        return F.pixel_shuffle(self.conv_last(F.silu(self.norm_last(x))), 2).to(points.dtype)


class RectifiedFlow(nn.Module):
    """The conditional rectified flow. Images are RGB in [0, 1]; a sample starts from standard normal noise.

    ``model(lr)`` draws one HR image for every LR image of a batch, as other networks are called.
    """

    projected = True
    """Samples are projected onto the images that downscale to LR."""
    weights: WeightsInfo
    """Provenance of the weights; set only if they come from a file."""

    def __init__(self, config: RectifiedFlowConfig) -> None:
        super().__init__()
        self.config = config
        self.scale: int = config.rrdb.scale
        self.steps = config.sampling_steps
        """Steps of a sample."""
        self.rrdb = RRDBNet(config.rrdb)
        self.velocity = Velocity(config)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def encode(self, lr: Tensor) -> tuple[Tensor, Tensor]:
        """(b, 3, h, w) in [0, 1] -> features of RRDB's trunk (b, c, h, w), and RRDB's output (b, 3, s*h, s*w)."""
        features, _ = self.rrdb.trunk(lr)
        return features, self.rrdb.reconstruct(features).to(lr.dtype)

    def flow_matching(self, lr: Tensor, hr: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Mean square error of the velocity at points between noise (b, 3, s*h, s*w) and HR at times (b,), a scalar."""
        with torch.no_grad():
            features, base = self.encode(lr)
        residual = (hr - base) / self.config.deviation
        points = noise.lerp(residual, times[:, None, None, None])
        return F.mse_loss(self.velocity(points, times, features, base), residual - noise)

    def sample(
        self, lr: Tensor, n: int = 1, *, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw n HR images given LR (3, h, w) in [0, 1]: (n, 3, s*h, s*w), not clamped; see ``samples``."""
        return torch.stack([*self.samples(lr, n, temperature=temperature, generator=generator)])

    def samples(
        self,
        lr: Tensor,
        n: int = 1,
        *,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        tile: int | None = None,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Iterator[Tensor]:
        """Yield n HR images given LR (3, h, w) in [0, 1], (3, s*h, s*w) each, not clamped.

        ``temperature`` is the standard deviation of the noise, which is drawn sample by sample from a CPU generator or
        torch's default one, so that a sample does not depend on n. ``tile`` computes the same samples, up to rounding,
        in square tiles of that many LR pixels a side, in the memory of one sample; only RRDB's trunk sees the whole LR
        image at once. ``progress`` is then called with the fraction of the work done since the last call. Raises
        ImageError if LR is not such an image.
        """
        if lr.ndim != 3:
            raise ImageError(f"LR has shape {tuple(lr.shape)}; it must be (3, h, w)")
        require_lr(lr[None])
        height, width = lr.shape[-2:]
        down, right = (-side % self.config.grid for side in (height, width))
        padded = F.pad(lr[None], (0, right, 0, down), mode="replicate")
        whole = Bounds(0, height + down, 0, width + right)
        tiles = [whole] if tile is None else [*whole.tiles(_whole(max(tile, 1), self.config.grid))]
        features, base = self._encode_tiles(padded, tiles, whole)
        for _ in range(n):
            noise = torch.randn(base.shape, generator=generator, dtype=base.dtype).to(base.device) * temperature
            image = self._sample(noise, features, base, tiles, whole, lambda done: progress(done / n))
            yield self._consistent(image[0, :, : self.scale * height, : self.scale * width], lr)
            del image

    def forward(self, lr: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw one HR image for every LR image at temperature 1, without gradients.

        Args:
            lr: (b, 3, h, w) in [0, 1].
            generator: CPU generator for the noise; by default a new one seeded with 0, so that equal batches give equal
                images.

        Returns:
            (b, 3, s*h, s*w), not clamped.

        Raises:
            ImageError: LR is not such a batch.
        """
        require_lr(lr)
        generator = torch.Generator().manual_seed(0) if generator is None else generator
        return torch.cat([self.sample(image, generator=generator) for image in lr])

    @torch.no_grad()
    def _encode_tiles(self, lr: Tensor, tiles: Sequence[Bounds], whole: Bounds) -> tuple[Tensor, Tensor]:
        """Return what ``encode`` returns, RRDB's output computed tile by tile."""
        features, _ = self.rrdb.trunk(lr)
        base = lr.new_empty((1, 3, self.scale * whole.bottom, self.scale * whole.right))
        for tile in tiles:
            window = tile.grown(UPSCALE_HALO, whole)
            part = self.rrdb.reconstruct(_channels_last(crop(features, window, whole)))
            crop(base, tile, whole).copy_(crop(part, tile, window))
        return features, base

    @torch.no_grad()
    def _sample(
        self,
        noise: Tensor,
        features: Tensor,
        base: Tensor,
        tiles: Sequence[Bounds],
        whole: Bounds,
        progress: Callable[[float], None],
    ) -> Tensor:
        """Return the image (1, 3, H, W) that the velocity, computed tile by tile, makes of noise of that shape."""

        def velocity(points: Tensor, time: float) -> Tensor:
            out = torch.empty_like(points)
            for tile in tiles:
                window = tile.grown(self.config.halo, whole)
                own, near, around = (crop(maps, window, whole) for maps in (points, features, base))
                part = self.velocity(own, points.new_full((1,), time), _channels_last(near), around)
                crop(out, tile, whole).copy_(crop(part, tile, window))
                progress(tile.area / whole.area / self.steps / 2)
            return out

        return integrate(velocity, noise, self.steps).mul_(self.config.deviation).add_(base)

    @torch.no_grad()
    def _consistent(self, image: Tensor, lr: Tensor) -> Tensor:
        """Project an image (3, H, W) onto those that downscale to LR, channel by channel to save memory."""
        for channel, lr_channel in zip(image, lr, strict=True):
            channel.copy_(make_consistent(channel[None], lr_channel[None], self.scale)[0])
        return image.contiguous()


def load_rectified_flow(scale: int, weights: Path | None = None, steps: int | None = None) -> RectifiedFlow:
    """A rectified flow of RRDB's residual; from packaged weights or a weights file.

    ``steps`` is the number of steps of a sample, by default that of the weights. Raises WeightsError if the file
    is damaged or has another scale, or no weights are packaged for this scale.
    """
    network = load_pretrained(PRETRAINED_RECTIFIED_FLOW, scale, weights)
    network.steps = network.steps if steps is None else steps
    return network


def _convert_nothing(tensors: Mapping[str, Tensor], preset: str | None) -> None:
    """No checkpoint of a rectified flow has been released."""


PRETRAINED_RECTIFIED_FLOW = PretrainedModel(
    "rectified-flow", RectifiedFlow, RectifiedFlowConfig, _convert_nothing, "baselines"
)


def integrate(velocity: Callable[[Tensor, float], Tensor], noise: Tensor, steps: int) -> Tensor:
    """Follow a velocity, a function of points and time, from noise at time 0 to time 1; any shape.

    Steps end at times (k / steps)**1.5, so that they are shorter near noise, and are those of the midpoint rule: the
    velocity at the middle of an Euler step of half the length. On validation photographs, four such steps have a lower
    LPIPS and LPIPS energy than eight Euler steps of equal length, with as many evaluations of the velocity.
    """
    points = noise
    for start, end in pairwise((step / steps) ** 1.5 for step in range(steps + 1)):
        half = (end - start) / 2
        middle = torch.add(points, velocity(points, start), alpha=half)
        points = torch.add(points, velocity(middle, start + half), alpha=end - start)
    return points


def _sinusoids(times: Tensor) -> Tensor:
    """Sines and cosines of times (b,) in [0, 1] at EMBEDDING / 2 frequencies from .1 to 100, (b, EMBEDDING)."""
    exponents = torch.linspace(0, 1, EMBEDDING // 2, dtype=times.dtype, device=times.device)
    angles = times[:, None] * 100 * 1000**-exponents
    return torch.cat([angles.sin(), angles.cos()], 1)


def _resized(condition: Tensor, x: Tensor) -> Tensor:
    """Resize a condition (b, c, h, w) to the size of x, which is a power of two times as large or as small."""
    factor = condition.shape[-1] // x.shape[-1]
    if factor > 1:
        return F.avg_pool2d(condition, factor)
    return condition if factor == 1 else F.interpolate(condition, size=x.shape[-2:])


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _whole(side: int, unit: int) -> int:
    """Round a side up to a multiple of ``unit``."""
    return -(-side // unit) * unit
