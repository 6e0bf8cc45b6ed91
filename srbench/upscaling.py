"""``srbench upscale``: upscale the user's own images, files or folders, to PNG files. Existing outputs are kept."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

import torch

from srbench.files.hashes import sha256_file
from srbench.images.folders import images_below
from srbench.images.io import (
    header_size,
    quantize_floor,
    read_image,
    read_recipe,
    read_uint8,
    require_readable_size,
    write_png,
)
from srbench.images.tiling import pixels_in_tiles
from srbench.interfaces import Model, PrecomputedResults, SRBenchError, StochasticSRModel, TiledSRModel
from srbench.machine.memory import free_bytes
from srbench.metrics import lr_psnr
from srbench.models import LoadedModel
from srbench.models.inference import SamplingParameters, choose_device, iterate_samples, require_memory
from srbench.models.inference import upscale as upscale_image
from srbench.models.loading import load_model
from srbench.models.names import ModelSpec
from srbench.plugins.registry import is_ours
from srbench.run_folder.protocol import exactly
from srbench.terminal.output import duration, say
from srbench.terminal.progress import Progress, Step, silent
from srbench.words import FILE_NAME, is_file_name, number_of

MAX_UNTILED = 256 * 256
"""LR pixels above which images are upscaled in tiles on a CPU, unless a stochastic model cannot sample in tiles."""
TILE = 256
"""Default side of tiles in LR pixels, for deterministic models."""
SAMPLE_TILE = 128
"""Default side of tiles in LR pixels, for stochastic models; as fast as the whole image at once."""
PROBE = 128
"""Side of the LR image timed to estimate the run time."""
PROBE_SAMPLES = 5
"""Largest number of samples of the timed image."""
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
    name: Path
    """Path of the output without ``_sampleN`` and extension."""
    count: int | None
    """Number of samples, whose file names are numbered; None for a single output."""

    def files(self) -> Iterator[Path]:
        """Yield the paths of the outputs, one per sample; --samples may be too large for a list."""
        return map(self._file, range(self.count or 1))

    def is_done(self) -> bool:
        """Return whether the last output exists."""
        return self._file((self.count or 1) - 1).exists()

    def _file(self, number: int) -> Path:
        sample = "" if self.count is None else f"_sample{number}"
        return self.name.with_name(f"{self.name.name}{sample}.png")


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

    ``a.jpg`` becomes ``a.png``; if there is also an ``a.png``, they become ``a_jpg.png`` and ``a_png.png``. With
    several models, each has a folder named by its label; several temperatures appear in the names, as in
    ``a_t0.4.png``. ``progress`` is called for every image and every tile, with the finished fraction of all pixels.
    Raises SRBenchError if a model is unknown or has another scale.
    """
    device, models = _load_models(spec)
    sources, faults = _sources(spec)
    tasks = _tasks(spec, models, sources)
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
            yield _upscale_task(spec, task, device, _within(step, pixels[done] / all_pixels, progress))
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
    """Yield lines that describe what would be upscaled, the memory for each image and the total time.

    Writes nothing. Raises SRBenchError as ``upscale`` does.
    """
    device, models = _load_models(spec)
    sources, faults = _sources(spec)
    tasks = _tasks(spec, models, sources)
    existing = sum(1 for task in tasks for _ in takewhile(Path.exists, task.files()))
    outputs = sum(task.count or 1 for task in tasks)
    yield f"{number_of(len(sources), 'image')}, {number_of(outputs, 'output')}, {existing} already made"
    yield from (f"cannot be upscaled: {fault}" for fault in faults)
    for loaded in models:
        todo = Counter(task.path for task in tasks if task.loaded is loaded and not task.is_done())
        if todo and len(models) > 1:
            yield f"{loaded.label}:"
        yield from _estimated(loaded.model, _sampling(spec, loaded.temperature), device, todo)


def _estimated(model: Model, sampling: SamplingParameters, device: str, todo: Counter[Path]) -> Iterator[str]:
    """Yield the tile and memory of each image, and the total time: pixels (overlaps of tiles included) times a rate.

    The rate is measured on a small image. An image counts once for each temperature. Raises ModelError if the model
    fails.
    """
    pixels = 0
    for path, times in todo.items():
        try:
            tile = chosen_tile(model, sampling, device, path)
        except SRBenchError as error:
            yield f"cannot be upscaled: {error}"
            continue
        width, height = header_size(path)
        input_pixels = width * height if tile is None else pixels_in_tiles(height, width, tile)
        pixels += times * _samples(model, sampling) * input_pixels
        tiling = "at once"
        if tile is not None:
            tiling = f"in tiles of {tile}"
            if isinstance(model, TiledSRModel):
                tiling += f", {_bytes_in_tiles(model, height, width) / 2**30:.1f} GB besides the program"
        yield f"{path}: {width}x{height} {tiling}"
    if pixels:
        yield f"estimated: {duration(pixels * _seconds_per_pixel(model, sampling, device))} on this machine"


def _seconds_per_pixel(model: Model, sampling: SamplingParameters, device: str) -> float:
    """Seconds per LR pixel and sample, measured on a small image."""
    sampling = SamplingParameters(sampling.temperature, min(sampling.samples, PROBE_SAMPLES), sampling.seed)
    lr = torch.rand((3, PROBE, PROBE), generator=torch.Generator().manual_seed(0))
    upscale_image(model, "the timed image", lr[:, :16, :16], sampling, device)  # the first call loads kernels
    start = time.perf_counter()
    upscale_image(model, "the timed image", lr, sampling, device)
    return (time.perf_counter() - start) / (_samples(model, sampling) * PROBE * PROBE)


def _samples(model: Model, sampling: SamplingParameters) -> int:
    return sampling.samples if isinstance(model, StochasticSRModel) else 1


def chosen_tile(model: Model, sampling: SamplingParameters, device: str, path: Path) -> int | None:
    """The requested tile, else the default tile for an image of more than MAX_UNTILED pixels on a CPU, else None.

    Only the header of the image is read. Raises UpscaleError or ModelError if the image needs more memory than
    available even so, and ImageError for an image with too many pixels.
    """
    width, height = header_size(path)
    samples = _samples(model, sampling)
    size = [model.scale * height, model.scale * width]
    needs_tiles = sampling.tile is None and device == "cpu" and height * width > MAX_UNTILED
    if not isinstance(model, TiledSRModel) or device != "cpu":
        require_memory(str(path), samples, size)
        require_readable_size(path)
        return TILE if needs_tiles and not isinstance(model, StochasticSRModel) else sampling.tile
    if samples > 1:
        require_memory(str(path), samples, size, FINISHED_COPIES)
    tile = SAMPLE_TILE if needs_tiles else sampling.tile
    needed = _bytes_in_tiles(model, height, width)
    free = free_bytes()
    if free is not None and needed > free:
        raise UpscaleError(
            f"{path}: LR of {width}x{height} needs {needed / 2**30:.1f} GB, but only "
            f"{free / 2**30:.1f} GB are free; cut it into parts"
        )
    require_readable_size(path)
    return tile


def _bytes_in_tiles(model: Model, height: int, width: int) -> int:
    """Memory for a sample of LR of height x width in tiles, in bytes."""
    float32 = 4
    return COPIES_IN_TILES * float32 * 3 * model.scale**2 * height * width


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
                f"{text}: {other.spec} has the same label, {loaded.label}; choose another label: LABEL={text}"
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


def _sampling(spec: UpscaleSpec, temperature: float) -> SamplingParameters:
    return SamplingParameters(temperature, spec.samples, spec.seed, spec.tile)


def _tasks(spec: UpscaleSpec, models: list[LoadedModel], sources: dict[Path, Path]) -> list[_Task]:
    """Every image with every model, at every temperature if the model is stochastic."""
    tasks = []
    for loaded in models:
        out = spec.out / loaded.label if len(models) > 1 else spec.out
        samples = isinstance(loaded.model, StochasticSRModel)
        count = spec.samples if samples and spec.samples > 1 else None
        for name, path in sources.items():
            temperatures = spec.temperature if samples and spec.temperature else (loaded.temperature,)
            for temperature in temperatures:
                suffix = f"_t{exactly(temperature)}" if len(temperatures) > 1 else ""
                output = out / name.with_name(f"{name.name}{suffix}")
                tasks.append(_Task(path, loaded, _sampling(spec, temperature), output, count))
    return tasks


def _sources(spec: UpscaleSpec) -> tuple[dict[Path, Path], list[str]]:
    """Input images by the path of their output relative to --out, without extension; also a line for each fault."""
    names: dict[Path, Path] = {}
    faults = []
    for path in spec.paths:
        try:
            if not path.is_dir():
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


def _upscale_task(spec: UpscaleSpec, task: _Task, device: str, progress: Callable[[float], None]) -> Upscaled:
    path, loaded = task.path, task.loaded
    tile = chosen_tile(loaded.model, task.sampling, device, path)
    files = tuple(task.files())
    lr = read_uint8(path).float() / 255
    if not is_file_name(path.stem):
        raise UpscaleError(f"{path}: its name cannot be {FILE_NAME}; rename it")
    facts = {"model": loaded.spec, "digest": loaded.digest, "scale": spec.scale, "lr": sha256_file(path)}
    if isinstance(loaded.model, StochasticSRModel):
        facts |= {"temperature": task.sampling.temperature, "samples": spec.samples, "seed": spec.seed}
    recipe = json.dumps(facts | ({} if spec.tile is None else {"tile": spec.tile}))
    existing = [file for file in files if file.exists()]
    for file in existing:
        if read_recipe(file) != recipe:
            raise UpscaleError(f"{file}: exists and was made differently; choose another --out")
    if kept := len(existing) == len(files):
        samples = [read_image(file) for file in files]
    else:
        sampling = replace(task.sampling, tile=tile)
        if isinstance(loaded.model, TiledSRModel) and device == "cpu":
            images = iterate_samples(loaded.model, path.stem, lr, sampling, device, progress)
        else:
            images = iter(upscale_image(loaded.model, path.stem, lr, sampling, device, progress).images)
        samples = []
        for file in files:
            image = next(images)
            samples.append(torch.stack([quantize_floor(channel) for channel in image]))
            del image
            write_png(file, samples[-1], recipe)
        lr = quantize_floor(lr)
    return Upscaled(files, tuple(float(lr_psnr(sample, lr)) for sample in samples), kept)
