"""Upscale your own images: files and folders in, PNG files out. Existing outputs are kept."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import accumulate, takewhile
from pathlib import Path

import torch

from srbench.editing import EditError
from srbench.editing.cost import chosen_tile, estimated, size_of, worth_an_estimate
from srbench.files.hashes import sha256_file
from srbench.images.folders import images_below
from srbench.images.io import quantize_floor, read_image, read_recipe, read_uint8, write_png
from srbench.interfaces import LargeSRModel, PrecomputedResults, Progress, SRBenchError, Step, StochasticSRModel, silent
from srbench.metrics import lr_psnr
from srbench.models.inference import Draw, choose_device, upscale_one_by_one
from srbench.models.inference import upscale as upscale_image
from srbench.models.loading import LoadedModel, load_model
from srbench.run_folder.protocol import exactly
from srbench.words import FILE_NAME, is_file_name, number_of


@dataclass(frozen=True)
class UpscaleSpec:
    """The command line of ``srbench upscale`` as a value."""

    paths: tuple[Path, ...]
    models: tuple[str, ...]
    scale: int
    out: Path
    temperature: tuple[float, ...]
    samples: int
    seed: int
    """Seed of every image: ``model.sample`` with a generator of this seed gives the same samples."""
    device: str
    tile: int | None


@dataclass(frozen=True)
class _Task:
    """An image, a model, a temperature."""

    path: Path
    loaded: LoadedModel
    draw: Draw
    name: Path
    """Path of the output, or of the samples, without what follows in their names."""
    count: int | None
    """Number of samples, which have their numbers in their names; None for one output."""

    def files(self) -> Iterator[Path]:
        """Outputs, one per sample; perhaps more than memory could list."""
        return map(self._file, range(self.count or 1))

    def is_done(self) -> bool:
        """True if the last output exists."""
        return self._file((self.count or 1) - 1).exists()

    def _file(self, number: int) -> Path:
        sample = "" if self.count is None else f"_sample{number}"
        return self.name.with_name(f"{self.name.name}{sample}.png")


@dataclass(frozen=True)
class Upscaled:
    """Result for one image."""

    files: tuple[Path, ...] = ()
    """One file per sample; none if the image could not be upscaled."""
    lr_psnr: tuple[float, ...] = ()
    """LR-PSNR in dB, one per file."""
    kept: bool = False
    """True if the files already existed, made in the same way."""
    fault: str = ""


def upscale(
    spec: UpscaleSpec, progress: Progress = silent, tell: Callable[[str], None] = lambda line: None
) -> Iterator[Upscaled]:
    """Upscale one image after the other; one that fails is named and passed over.

    ``a.jpg`` becomes ``a.png``; ``a.jpg`` beside ``a.png`` becomes ``a_jpg.png``, and that ``a_png.png``.
    Several models have a folder each, by their labels; several temperatures are in the names, as in ``a_t0.4.png``.
    ``progress`` is called for every image, and for every tile where there are some, with the share of the pixels that
    is done; ``tell`` with the estimated time of a model that has much to do.
    Raises SRBenchError if nothing can be upscaled: a model is unknown, or has another scale.
    """
    device, models = _opened(spec)
    sources, faults = _sources(spec)
    tasks = _tasks(spec, models, sources)
    total = len(tasks)
    for loaded, todo in _todo(models, tasks):
        if worth_an_estimate(loaded.model, _draw(spec), todo):
            with suppress(SRBenchError):  # which the first image will raise again
                *_, last = estimated(loaded.model, _draw(spec), device, todo)
                if last.startswith("estimated"):  # not where no image can be upscaled
                    tell(f"{loaded.label}: {last}")
    for fault in faults:
        progress(Step(0, total, "", fault))
        yield Upscaled(fault=fault)
    pixels = [math.prod(size_of(task.path)) for task in tasks]
    whole = max(sum(pixels), 1)
    for done, (task, before) in enumerate(zip(tasks, accumulate(pixels, initial=0), strict=False)):
        share = before / whole
        progress(Step(done, total, str(task.path), share=share))
        try:
            parts = [share, pixels[done] / whole]

            def part(more: float, parts: list[float] = parts, done: int = done, path: Path = task.path) -> None:
                parts[0] += more * parts[1]
                progress(Step(done, total, str(path), share=parts[0]))

            yield _one(spec, task, device, part)
        except SRBenchError as error:
            progress(Step(done, total, "", str(error), share))
            yield Upscaled(fault=str(error))
    progress(Step(total, total, ""))


def estimate(spec: UpscaleSpec) -> Iterator[str]:
    """Lines for a reader: what would be upscaled, in which memory and time. Writes nothing; raises as ``upscale``."""
    device, models = _opened(spec)
    sources, faults = _sources(spec)
    tasks = _tasks(spec, models, sources)
    made = sum(1 for task in tasks for _ in takewhile(Path.exists, task.files()))
    outputs = sum(task.count or 1 for task in tasks)
    yield f"{number_of(len(sources), 'image')}, {number_of(outputs, 'output')}, {made} already made"
    yield from (f"cannot be upscaled: {fault}" for fault in faults)
    for loaded, todo in _todo(models, tasks):
        if len(models) > 1:
            yield f"{loaded.label}:"
        yield from estimated(loaded.model, _draw(spec), device, todo)


def _opened(spec: UpscaleSpec) -> tuple[str, list[LoadedModel]]:
    device = choose_device(spec.device)
    models: dict[str, LoadedModel] = {}
    for text in spec.models:
        loaded = load_model(text, spec.scale, device)
        if isinstance(loaded.model, PrecomputedResults):
            raise EditError(f"{text}: a folder of results cannot upscale; name a model")
        if (other := models.setdefault(loaded.label, loaded)) is not loaded:
            raise EditError(f"{text}: its label {loaded.label} is that of {other.spec}; give another: LABEL={text}")
    return device, [*models.values()]


def _draw(spec: UpscaleSpec) -> Draw:
    return Draw(spec.temperature[0], spec.samples, spec.seed, spec.tile)


def _tasks(spec: UpscaleSpec, models: list[LoadedModel], sources: dict[Path, Path]) -> list[_Task]:
    """Every image by every model, at every temperature if the model samples."""
    tasks = []
    for loaded in models:
        out = spec.out / loaded.label if len(models) > 1 else spec.out
        samples = isinstance(loaded.model, StochasticSRModel)
        count = spec.samples if samples and spec.samples > 1 else None
        for name, path in sources.items():
            for temperature in spec.temperature if samples else spec.temperature[:1]:
                at = f"_t{exactly(temperature)}" if samples and len(spec.temperature) > 1 else ""
                draw = replace(_draw(spec), temperature=temperature)
                tasks.append(_Task(path, loaded, draw, out / name.with_name(f"{name.name}{at}"), count))
    return tasks


def _todo(models: list[LoadedModel], tasks: list[_Task]) -> Iterator[tuple[LoadedModel, list[Path]]]:
    """Models with the images of their tasks that lack a last output, once per temperature; none without such."""
    for loaded in models:
        paths = [task.path for task in tasks if task.loaded is loaded and not task.is_done()]
        if paths:
            yield loaded, paths


def _sources(spec: UpscaleSpec) -> tuple[dict[Path, Path], list[str]]:
    """Images below the paths, by their output without its ending, which keeps sub-folders; and one line per fault."""
    found: dict[Path, Path] = {}
    faults = []
    for path in spec.paths:
        try:
            if not path.is_dir():
                found.setdefault(path, Path(path.name))
                continue
            root, out = path.resolve(), spec.out.resolve()
            images = [
                one
                for one in images_below(path)
                if root == out or not (root / one.relative_to(path)).is_relative_to(out)
            ]
            found.update({one: one.relative_to(path) for one in images if one not in found})
        except SRBenchError as error:
            faults.append(str(error))
    stems = Counter(relative.with_suffix("") for relative in set(found.values()))
    sources: dict[Path, Path] = {}
    for path, relative in found.items():
        name = relative.with_suffix("")
        if stems[name] > 1:
            name = name.with_name(f"{relative.stem}_{relative.suffix[1:].lower()}")
        if (other := sources.setdefault(name, path)) != path:
            faults.append(f"{path}: {other} has the same name; upscale it into another --out")
    return sources, faults


def _one(spec: UpscaleSpec, task: _Task, device: str, progress: Callable[[float], None]) -> Upscaled:
    path, loaded = task.path, task.loaded
    tile = chosen_tile(loaded.model, task.draw, device, path)
    files = tuple(task.files())
    lr = read_uint8(path).float() / 255
    if not is_file_name(path.stem):
        raise EditError(f"{path}: its name cannot be {FILE_NAME}; rename it")
    facts = {"model": loaded.spec, "digest": loaded.digest, "scale": spec.scale, "lr": sha256_file(path)}
    if isinstance(loaded.model, StochasticSRModel):
        facts |= {"temperature": task.draw.temperature, "samples": spec.samples, "seed": spec.seed}
    recipe = json.dumps(facts | ({} if spec.tile is None else {"tile": spec.tile}))
    existing = [file for file in files if file.exists()]
    for file in existing:
        if read_recipe(file) != recipe:
            raise EditError(f"{file}: exists and was made differently; choose another --out")
    if kept := len(existing) == len(files):
        samples = [read_image(file) for file in files]
    else:
        draw = replace(task.draw, tile=tile)
        if isinstance(loaded.model, LargeSRModel) and draw.tile is not None:
            images = upscale_one_by_one(loaded.model, path.stem, lr, draw, device, progress)
        else:
            images = iter(upscale_image(loaded.model, path.stem, lr, draw, device).images)
        samples = []
        for file in files:
            image = next(images)
            samples.append(torch.stack([quantize_floor(channel) for channel in image]))
            del image
            write_png(file, samples[-1], recipe)
        lr = quantize_floor(lr)
    return Upscaled(files, tuple(float(lr_psnr(one, lr)) for one in samples), kept)
