"""Inference: run a model on an LR image, check its output or samples, and measure time and memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from srbench.images.tiling import upscale_in_tiles
from srbench.interfaces import Model, PrecomputedResults, SRBenchError, StochasticSRModel, TiledSRModel
from srbench.machine.memory import memory_bytes, out_of_memory
from srbench.machine.precision import products
from srbench.machine.usage import usage_on
from srbench.models import SMALLEST_TILE, ModelError
from srbench.plugins.registry import with_place
from srbench.words import one_line, size_of

COPIES = 3
"""Estimated peak memory for the samples of an image, in float32 copies of them: the samples themselves, and the needs
of model, quantisation and metrics."""
_MAX_MEDIAN = 16
"""An output with a larger median is taken to have levels of 0 to 255, unless a huge maximum shows that it diverged."""
_COMMON_MULTIPLE = 64
"""Networks that require sides to be multiples of some number accept multiples of this."""


@dataclass(frozen=True)
class SamplingParameters:
    """How often a model samples an image, at which temperature, from which seed."""

    temperature: float
    samples: int
    seed: int
    tile: int | None = None
    """Side of tiles in LR pixels; None upscales the whole image at once."""


@dataclass(frozen=True)
class Output:
    """Outputs of a model for an image."""

    images: Tensor
    """(n, 3, s*h, s*w) float32 on the CPU, not clamped."""
    seconds: float
    """Run time of the model, including transfers to and from the device."""
    peak_memory_mb: float | None
    """Peak memory of torch on a GPU, or of the whole process on a CPU; None if unknown."""


def choose_device(name: str) -> str:
    """Resolve ``auto`` to ``cuda`` or ``mps`` if available, else ``cpu``; ``cuda:1`` is a single GPU.

    Raises ModelError for unavailable devices.
    """
    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    available = [*(["cuda", *gpus] if gpus else []), *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]
    if name == "auto":
        return available[0]
    if name not in available:
        raise ModelError(f"device {name} is not available here; use --device auto or {', '.join(available)}")
    return name


def upscale(
    model: Model,
    name: str,
    lr: Tensor,
    sampling: SamplingParameters,
    device: str,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Output:
    """Upscale the LR image (3, h, w) called ``name`` with a model.

    A deterministic model uses only the tile of ``sampling``. With a tile, ``progress`` is called after every tile with
    the fraction of the work done since the last call. Raises ModelError naming the image if the model fails, returns a
    wrong size or non-finite values, or if a precomputed result is missing or damaged.
    """
    with torch.no_grad(), usage_on(device) as usage, _at_work(model, name, lr, sampling, device):
        images = _outputs(model, name, lr, sampling, device, progress)
    _check(images, name, lr, model.scale)
    return Output(images, usage.seconds, usage.peak_memory_mb)


def iterate_samples(
    model: TiledSRModel,
    name: str,
    lr: Tensor,
    sampling: SamplingParameters,
    device: str,
    progress: Callable[[float], None],
) -> Iterator[Tensor]:
    """Yield the samples of ``upscale``, (3, s*h, s*w) each. If ``sampling`` has a tile, they need the memory of one
    sample.

    ``progress`` is called with the fraction of the work done since the last call, only with tiles. Raises ModelError
    as ``upscale`` does.
    """
    # without gradients only while the model works, because a generator shares the mode of its caller
    with torch.no_grad(), _at_work(model, name, lr, sampling, device):
        samples = _samples(model, lr.to(device, copy=True), sampling, progress)
    for _ in range(sampling.samples):
        with torch.no_grad(), _at_work(model, name, lr, sampling, device):
            image = next(samples).to("cpu", torch.float32)
        _check(image[None], name, lr, model.scale)
        yield image
        del image


@contextmanager
def _at_work(model: Model, name: str, lr: Tensor, sampling: SamplingParameters, device: str) -> Iterator[None]:
    """Let a model work without TF32 on a GPU, and undo its changes of the working folder.

    Its exceptions become a ModelError that names the image.
    """
    try:
        with chdir("."), products(torch.device(device), tf32=False):
            yield
    except ModelError:
        raise
    except SRBenchError as error:
        raise ModelError(f"{name}: {error}") from error
    except (Exception, SystemExit) as error:
        if out_of_memory(error):
            raise ModelError(f"{name}: {_too_large(model, lr, sampling, device)}") from error
        raise ModelError(
            f"{name}: the model failed: {with_place(error)}{_advice(error, model, name, lr, sampling, device)}"
        ) from error


def _advice(
    error: BaseException, model: Model, name: str, lr: Tensor, sampling: SamplingParameters, device: str
) -> str:
    """Advice on the two most common errors of user-written networks; empty for any other error.

    Whether the size of LR is to blame is found by running the model on padded LR.
    """
    reason = one_line(error)
    if re.search("same device|expected device", reason):
        return "; create its tensors on the device of LR (register_buffer, or .to(lr.device))"
    height, width = (-side % _COMMON_MULTIPLE for side in lr.shape[-2:])
    if not (height or width) or not re.search("shape|size|dimension|multiple|divisible", reason):
        return ""
    padded = F.pad(lr, (0, width, 0, height), mode="replicate")
    try:
        with chdir("."):
            _outputs(model, name, padded, replace(sampling, samples=1), device, lambda fraction: None)
    except (Exception, SystemExit):
        return ""
    sizes = f"{size_of(padded.shape)}, but not of {size_of(lr.shape)}"
    return f"; it takes LR of {sizes}: pad LR inside the model and crop the output"


def _outputs(
    model: Model, name: str, lr: Tensor, sampling: SamplingParameters, device: str, progress: Callable[[float], None]
) -> Tensor:
    lr = lr.to(device, copy=True)  # a model may change its input in place
    if isinstance(model, PrecomputedResults):
        images = model.read(name)
    elif isinstance(model, StochasticSRModel):
        require_memory(name, sampling.samples, [model.scale * side for side in lr.shape[-2:]])
        images = _sample(model, lr, sampling, progress)
        if len(_floating_point(images, name)) != sampling.samples:
            raise ModelError(f"{name}: the model returned {len(images)} samples, not {sampling.samples}; correct it")
    elif sampling.tile is not None:
        images = upscale_in_tiles(model, lr, sampling.tile, progress)
    else:
        images = model(lr[None])
    return _floating_point(images, name).to("cpu", torch.float32)


def _floating_point(images: object, name: str) -> Tensor:
    """Raise ModelError unless the images are a floating-point tensor; integers would be levels of 0 to 255."""
    if not isinstance(images, Tensor):
        raise ModelError(f"{name}: the result is {type(images).__name__}; it must be a tensor (n, 3, H, W)")
    if not images.is_floating_point():
        raise ModelError(f"{name}: the result is {images.dtype}; it must be floating point, with images in [0, 1]")
    return images


def _too_large(model: Model, lr: Tensor, sampling: SamplingParameters, device: str) -> str:
    """Out-of-memory message with advice. Tiles are never chosen automatically, because they change the protocol."""
    height, width = lr.shape[-2:]
    advice = "use smaller images (--crop), or another --device"
    if not isinstance(model, StochasticSRModel) or isinstance(model, TiledSRModel):
        tile = min(sampling.tile or max(height, width), max(height, width)) // 2
        if tile >= SMALLEST_TILE:
            advice = f"upscale in smaller tiles (--tile {tile})"
    elif sampling.samples > 1:
        advice = "draw fewer samples (--samples), or use smaller images (--crop)"
    tiles = "" if sampling.tile is None else f" in tiles of {sampling.tile}"
    return f"the model ran out of memory ({device}, LR of {width}x{height}{tiles}); {advice}"


def _sample(
    model: StochasticSRModel, lr: Tensor, sampling: SamplingParameters, progress: Callable[[float], None]
) -> Tensor:
    if sampling.tile is None:
        generator = torch.Generator().manual_seed(sampling.seed)
        return model.sample(lr, sampling.samples, temperature=sampling.temperature, generator=generator)
    if not isinstance(model, TiledSRModel):
        raise ModelError(f"{type(model).__name__} cannot sample in tiles; omit --tile")
    # one by one to the CPU: tiles are for images that a GPU cannot hold
    return torch.stack([image.cpu() for image in _samples(model, lr, sampling, progress)])


def _samples(
    model: TiledSRModel, lr: Tensor, sampling: SamplingParameters, progress: Callable[[float], None]
) -> Iterator[Tensor]:
    return model.samples(
        lr,
        sampling.samples,
        temperature=sampling.temperature,
        generator=torch.Generator().manual_seed(sampling.seed),
        tile=sampling.tile,
        progress=progress,
    )


def require_memory(name: str, samples: int, size: list[int], copies: float = COPIES) -> None:
    """Raise ModelError if the samples alone exceed this machine's memory, where the process would be killed.

    ``size`` is height and width. ``copies`` float32 copies of every sample exist at once.
    """
    needed, installed = copies * samples * 3 * size[0] * size[1] * 4, memory_bytes()
    if installed is not None and needed > installed:
        outputs, need, advice = f"{samples} samples", "need", "draw fewer (--samples)"
        if samples == 1:
            outputs, need, advice = "an output", "needs", "cut the image into parts"
        figures = f"{need} {needed / 2**30:.0f} GB, but this machine has {installed / 2**30:.0f} GB"
        raise ModelError(f"{name}: {outputs} of {size[1]}x{size[0]} {figures}; {advice}")


def _check(images: Tensor, name: str, lr: Tensor, scale: int) -> None:
    height, width = (scale * side for side in lr.shape[-2:])
    if images.ndim != 4 or images.shape[0] == 0 or list(images.shape[1:]) != [3, height, width]:
        raise ModelError(
            f"{name}: the result has shape {tuple(images.shape)}; "
            f"it must be (n, 3, {height}, {width}), {scale} times LR"
        )
    non_finite = sum(int((~image.isfinite()).sum()) for image in images)  # image by image, to save memory
    if non_finite:
        raise ModelError(
            f"{name}: {non_finite} of {images.numel()} values of the result are not finite; "
            "check the model or, if it samples, lower the temperature"
        )
    subset = images[..., ::8, ::8]
    if not (subset.median() <= _MAX_MEDIAN or subset.max() >= 2 * 255):
        raise ModelError(f"{name}: the result has levels of 0 to 255; images are in [0, 1]: divide it by 255")
