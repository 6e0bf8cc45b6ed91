"""``srbench upscale``: upscale the user's own images, files or folders, to PNG files. Existing outputs are kept."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

import torch

from srbench.files.hashes import sha256_file
from srbench.files.paths import no_place
from srbench.images.folders import images_below
from srbench.images.io import (
    header_size,
    largest_png,
    quantize_floor,
    read_recipe,
    read_uint8,
    require_readable_size,
    write_png,
)
from srbench.interfaces import Model, PrecomputedResults, SRBenchError, StochasticSRModel, TiledSRModel
from srbench.machine.memory import free_bytes
from srbench.metrics import lr_psnr
from srbench.models import LoadedModel
from srbench.models.inference import SamplingParameters, choose_device, iterate_samples, require_memory
from srbench.models.inference import upscale as upscale_image
from srbench.models.loading import load_model
from srbench.models.names import ModelSpec
from srbench.plugins.registry import is_ours
from srbench.run_folder.protocol import Setting
from srbench.terminal.output import say
from srbench.terminal.progress import Progress, Step, silent
from srbench.words import FILE_NAME, amount, is_file_name, number_of

MAX_UNTILED = 256 * 256
"""LR pixels above which images are upscaled in tiles on a CPU, unless a stochastic model cannot sample in tiles."""
BYTES_PER_PIXEL, BYTES_PER_SAMPLED_PIXEL = 12_000, 50_000
"""An image for which a GPU has less free memory per LR pixel is upscaled in tiles. The tensors of the largest networks,
RRDB and SRFlow of DF2K, take 9,216 and 43,040 bytes per LR pixel; the rest is for the libraries."""
TILE = 256
"""Default side of tiles in LR pixels, for deterministic models."""
SAMPLE_TILE = 128
"""Default side of tiles in LR pixels, for stochastic models; as fast as the whole image at once."""
COPIES_IN_TILES = 4
"""Memory for a sample in tiles, in float32 copies of HR: latents, image, LR features, and a channel being projected."""
FINISHED_COPIES = 1 / 4
"""Memory for a finished sample, which is kept as 8-bit values, in float32 copies of HR."""


class UpscaleError(SRBenchError):
    """An image that cannot be upscaled as requested."""


@dataclass(frozen=True)
class UpscaleSpec:
    """The arguments of ``srbench upscale``."""

    paths: tuple[Path, ...]
    models: tuple[str, ...]
    scale: int
    out: Path
    temperature: tuple[float, ...] | None
    """None: the temperature stated in each model's weights, else TEMPERATURE."""
    samples: int
    seed: int
    """Every image is sampled by a new generator with this seed."""
    device: str
    tile: int | None


@dataclass(frozen=True)
class _Task:
    """An image, a model and a temperature."""

    path: Path
    loaded: LoadedModel
    sampling: SamplingParameters
    """One sample for a deterministic model."""
    name: Path
    """Path of the output without ``_sampleN`` and extension."""

    def files(self) -> Iterator[Path]:
        """Yield the paths of the outputs, one per sample; --samples may be too large for a list."""
        for number in range(self.sampling.samples):
            sample = f"_sample{number}" if self.sampling.samples > 1 else ""
            yield self.name.with_name(f"{self.name.name}{sample}.png")


@dataclass(frozen=True)
class Upscaled:
    """Result for an image."""

    files: tuple[Path, ...] = ()
    """One file per sample; empty if the image could not be upscaled."""
    lr_psnr: tuple[float, ...] = ()
    """LR-PSNR in dB, one per file."""
    kept: bool = False
    """True if the files already existed and were made in the same way."""
    fault: str = ""


def upscale(spec: UpscaleSpec, progress: Progress = silent) -> Iterator[Upscaled]:
    """Upscale images one by one, yielding the result of each; failures are reported and do not stop the rest.

    ``a.jpg`` becomes ``a.png``; if there is also an ``a.png``, they become ``a_jpg.png`` and ``a_png.png``. Several
    models or temperatures have a folder each, named as in a run folder. ``progress`` is called for every image and
    every tile, with the finished fraction of all pixels. Raises SRBenchError if a model is unknown or has another
    scale.
    """
    device, tasks, faults = _planned(spec)
    total = len(tasks)
    for fault in faults:
        progress(Step(0, total, "", fault))
        yield Upscaled(fault=fault)
    pixels = [math.prod(header_size(task.path)) for task in tasks]
    all_pixels = max(sum(pixels), 1)
    finished = 0
    for done, task in enumerate(tasks):
        step = Step(done, total, str(task.path), fraction=finished / all_pixels)
        progress(step)
        try:
            yield _upscaled(task, device, _within(step, pixels[done] / all_pixels, progress))
        except SRBenchError as error:
            progress(replace(step, what="", fault=str(error)))
            yield Upscaled(fault=str(error))
        finished += pixels[done]
    progress(Step(total, total, ""))


def _within(step: Step, weight: float, progress: Progress) -> Callable[[float], None]:
    """Report progress within an image that is the fraction ``weight`` of all work.

    The returned function is called with the fraction of the image done since the last call.
    """
    total = step.fraction or 0.0

    def advance(fraction: float) -> None:
        nonlocal total
        total += fraction * weight
        progress(replace(step, fraction=total))

    return advance


def estimate(spec: UpscaleSpec) -> Iterator[str]:
    """Yield lines that describe what would be upscaled, and the disk space that it takes at most.

    Writes nothing, and no model runs. Raises SRBenchError as ``upscale`` does.
    """
    device, tasks, faults = _planned(spec)
    made = [sum(1 for _ in takewhile(Path.exists, task.files())) for task in tasks]
    images, outputs = len({task.path for task in tasks}), sum(task.sampling.samples for task in tasks)
    yield f"{number_of(images, 'image')}, {number_of(outputs, 'output')}, {sum(made)} already made"
    yield from (f"cannot be upscaled: {fault}" for fault in faults)
    size = 0.0
    for task, number in zip(tasks, made, strict=True):
        left = task.sampling.samples - number
        if not left:
            continue
        try:
            tile = _tile(task, device)
            width, height = header_size(task.path)
            if not width:
                read_uint8(task.path)
        except SRBenchError as error:
            yield f"cannot be upscaled: {error}"
            continue
        size += left * largest_png(task.loaded.model.scale**2 * width * height)
        yield f"{task.name}: LR of {width}x{height} {'at once' if tile is None else f'in tiles of {tile}'}"
    if size:
        yield f"disk space: at most {amount(size, 'B')}"


def _tile(task: _Task, device: str) -> int | None:
    """The requested tile, else the default tile for an image that is too large to upscale whole, else None.

    Only the header of the image is read. Raises UpscaleError or ModelError if the image needs more memory than
    available even so, and ImageError for an image with too many pixels.
    """
    model, path, samples = task.loaded.model, task.path, task.sampling.samples
    require_readable_size(path)
    width, height = header_size(path)
    size = [model.scale * height, model.scale * width]
    in_tiles = isinstance(model, TiledSRModel)
    tile = task.sampling.tile
    if tile is None and width * height > _largest_whole(device, sampled=in_tiles):
        tile = SAMPLE_TILE if in_tiles else None if isinstance(model, StochasticSRModel) else TILE
    if not _is_one_by_one(model, device, tile):
        require_memory(str(path), samples, size)
    else:
        require_memory(str(path), samples, size, FINISHED_COPIES)
        needed, free = COPIES_IN_TILES * 4 * 3 * math.prod(size), free_bytes()
        if free is not None and needed > free:
            raise UpscaleError(
                f"{path}: LR of {width}x{height} needs {needed / 2**30:.1f} GB, but only "
                f"{free / 2**30:.1f} GB are free; cut it into parts"
            )
    return tile


def _largest_whole(device: str, *, sampled: bool) -> float:
    """Number of LR pixels up to which an image is upscaled whole."""
    free = free_bytes(device)
    if device == "cpu" or free is None:
        return MAX_UNTILED
    return free / (BYTES_PER_SAMPLED_PIXEL if sampled else BYTES_PER_PIXEL)


def _is_one_by_one(model: Model, device: str, tile: int | None) -> bool:
    """Return whether samples are drawn and written one by one, in the memory of one: on a CPU, and in tiles."""
    return isinstance(model, TiledSRModel) and (device == "cpu" or tile is not None)


def _planned(spec: UpscaleSpec) -> tuple[str, list[_Task], list[str]]:
    """Device, tasks and a line for each fault: every image with every model,
    at every temperature if the model samples.
    """
    if reason := no_place(spec.out):
        raise UpscaleError(f"{spec.out}: {reason}; choose another --out")
    sources, faults = _sources(spec)
    device, models = _load_models(spec) if sources else ("", [])
    settings = [
        (loaded, temperature)
        for loaded in models
        for temperature in (
            spec.temperature or (loaded.temperature,) if isinstance(loaded.model, StochasticSRModel) else (None,)
        )
    ]
    tasks = []
    for loaded, temperature in settings:
        folder = spec.out / Setting(loaded.label, temperature).folder if len(settings) > 1 else spec.out
        samples = 1 if temperature is None else spec.samples
        sampling = SamplingParameters(temperature or 0.0, samples, spec.seed, spec.tile)
        tasks += [_Task(path, loaded, sampling, folder / name) for name, path in sources.items()]
    return device, tasks, faults


def _load_models(spec: UpscaleSpec) -> tuple[str, list[LoadedModel]]:
    """Return the device and the models on it. Raises UpscaleError for models that cannot upscale or share a label."""
    device = choose_device(spec.device)
    models: dict[str, LoadedModel] = {}
    for text in spec.models:
        loaded = load_model(text, spec.scale, device)
        if isinstance(loaded.model, PrecomputedResults):
            raise UpscaleError(f"{text}: a folder of results cannot upscale; name a model")
        if (other := models.setdefault(loaded.label, loaded)) is not loaded:
            raise UpscaleError(
                f"{text}: {other.spec} has the same label, {loaded.label}; choose another label: "
                f"LABEL={text.removeprefix(f'{loaded.label}=')}"
            )
    if packaged := [label for label, loaded in models.items() if _has_packaged_weights(loaded)]:
        say(
            f"{', '.join(packaged)} {'was' if len(packaged) == 1 else 'were'} trained on clean, bicubic LR, so JPEG "
            "artefacts and noise are amplified; for photographs from a camera or the web, use a network that was "
            f"trained on such images: --models {spec.scale}x.pth (needs pip install 'sr-bench[zoo]')"
        )
    return device, [*models.values()]


def _has_packaged_weights(loaded: LoadedModel) -> bool:
    model = ModelSpec.parse(loaded.spec)
    return loaded.weights is not None and not model.weights and is_ours("models", model.name)


def _sources(spec: UpscaleSpec) -> tuple[dict[Path, Path], list[str]]:
    """Input images by the path of their output relative to --out, without extension; also a line for each fault."""
    names: dict[Path, Path] = {}
    faults = []
    for path in spec.paths:
        try:
            if not path.is_dir():
                if not path.exists():
                    raise UpscaleError(f"{path}: no such file; check the path")
                names.setdefault(path, Path(path.name))
                continue
            root, out = path.resolve(), spec.out.resolve()
            for image in images_below(path):
                relative = image.relative_to(path)
                is_output = root != out and (root / relative).is_relative_to(out)
                if not is_output:
                    names.setdefault(image, relative)
        except SRBenchError as error:
            faults.append(str(error))
    stems = Counter(relative.with_suffix("") for relative in set(names.values()))
    sources: dict[Path, Path] = {}
    for path, relative in names.items():
        name = relative.with_suffix("")
        if stems[name] > 1:
            name = name.with_name(f"{relative.stem}_{relative.suffix[1:].lower()}")
        if (other := sources.setdefault(name, path)) != path:
            faults.append(f"{path}: {other} has the same name; use another --out for it")
    return sources, faults


def _upscaled(task: _Task, device: str, progress: Callable[[float], None]) -> Upscaled:
    path, loaded, sampling = task.path, task.loaded, task.sampling
    tile = _tile(task, device)
    files = tuple(task.files())
    lr = read_uint8(path)
    if not is_file_name(path.stem):
        raise UpscaleError(f"{path}: its name cannot be {FILE_NAME}; rename it")
    made_by = {"model": loaded.spec, "digest": loaded.digest, "scale": loaded.model.scale, "lr": sha256_file(path)}
    if isinstance(loaded.model, StochasticSRModel):
        made_by |= {"temperature": sampling.temperature, "samples": sampling.samples, "seed": sampling.seed}
    recipe = json.dumps(made_by | ({} if sampling.tile is None else {"tile": sampling.tile}))
    existing = [file for file in files if file.exists()]
    for file in existing:
        if read_recipe(file) != recipe:
            raise UpscaleError(f"{file}: exists and was made differently; choose another --out")
    if len(existing) == len(files):
        return Upscaled(files, tuple(float(lr_psnr(read_uint8(file), lr)) for file in files), kept=True)
    model, arguments = loaded.model, (path.stem, lr.float() / 255, replace(sampling, tile=tile), device, progress)
    if isinstance(model, TiledSRModel) and _is_one_by_one(model, device, tile):
        images = iterate_samples(model, *arguments)
    else:
        images = iter(upscale_image(model, *arguments).images)
    fits = []
    for file in files:
        image = next(images)
        sample = torch.stack([quantize_floor(channel) for channel in image])
        del image
        write_png(file, sample, recipe)
        fits.append(float(lr_psnr(sample, lr)))
    return Upscaled(files, tuple(fits))
