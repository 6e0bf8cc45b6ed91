"""Upscale your own images: files and folders in, PNG files out. Existing outputs are kept."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from srbench.editing import EditError
from srbench.images.folders import images_below
from srbench.images.io import quantize_floor, quantize_round, read_image, read_recipe, write_png
from srbench.images.strict_decoding import FAULTS
from srbench.interfaces import PrecomputedResults, Progress, SRBenchError, Step, silent
from srbench.metrics import lr_psnr
from srbench.models.inference import Draw, choose_device, is_stochastic, require_memory
from srbench.models.inference import upscale as upscale_image
from srbench.models.loading import LoadedModel, load_model
from srbench.system.file_names import FILE_NAME, is_file_name, no_file
from srbench.weights.files import sha256_file


@dataclass(frozen=True)
class UpscaleSpec:
    """What to upscale and how: the command line, as a value."""

    paths: tuple[Path, ...]
    model: str
    scale: int
    out: Path
    temperature: float
    samples: int
    seed: int
    """Every image is sampled from it: ``model.sample`` with a generator of this seed gives the same."""
    device: str
    tile: int | None


@dataclass(frozen=True)
class Upscaled:
    """The result for one image."""

    files: tuple[Path, ...] = ()
    """One per sample; none if the image could not be upscaled."""
    lr_psnr: tuple[float, ...] = ()
    """In dB, one per file."""
    kept: bool = False
    """Did the files exist, made in the same way?"""
    fault: str = ""


@dataclass(frozen=True)
class _Source:
    """An image to upscale."""

    path: Path
    name: Path
    """Of its output in the output folder, without an ending: sub-folders are kept."""


def upscale(spec: UpscaleSpec, progress: Progress = silent) -> Iterator[Upscaled]:
    """Upscale one image after the other; one that cannot be is named and passed over.

    ``a.jpg`` becomes ``a.png``; ``a.jpg`` beside ``a.png`` becomes ``a_jpg.png``, and that ``a_png.png``.
    ``progress`` is told of every image, with the share of the pixels that is done.
    Raises SRBenchError if nothing can be upscaled: the model is unknown, or of another scale.
    """
    device = choose_device(spec.device)
    loaded = load_model(spec.model, spec.scale, device)
    if isinstance(loaded.model, PrecomputedResults):
        raise EditError(f"{spec.model}: a folder of results cannot upscale; name a model")
    sources, faults = _sources(spec)
    total = len(sources)
    for fault in faults:
        progress(Step(0, total, "", fault))
        yield Upscaled(fault=fault)
    pixels = [_pixels(source.path) for source in sources]
    for done, source in enumerate(sources):
        share = sum(pixels[:done]) / max(sum(pixels), 1)
        progress(Step(done, total, str(source.path), share=share))
        try:
            yield _one(spec, loaded, device, source)
        except SRBenchError as error:
            progress(Step(done, total, "", str(error), share))
            yield Upscaled(fault=str(error))
    progress(Step(total, total, ""))


def shown_lr(path: Path) -> Tensor:
    """An image as a model sees it: (3, h, w) in [0, 1], multiples of 1/255. Raises ImageError."""
    return quantize_round(read_image(path)).float() / 255


def _sources(spec: UpscaleSpec) -> tuple[list[_Source], list[str]]:
    """The images below the paths, each once, with names for their outputs; and what is wrong with the others."""
    found: dict[Path, Path] = {}
    faults = []
    for path in spec.paths:
        try:
            if not path.is_dir():
                found.setdefault(path, Path(path.name))
                continue
            images = [one for one in images_below(path) if not one.is_relative_to(spec.out) or path == spec.out]
            found.update({one: one.relative_to(path) for one in images if one not in found})
        except SRBenchError as error:
            faults.append(str(error))
    stems = Counter(relative.with_suffix("") for relative in set(found.values()))
    sources: dict[Path, _Source] = {}
    for path, relative in found.items():
        name = relative.with_suffix("")
        if stems[name] > 1:
            name = name.with_name(f"{relative.stem}_{relative.suffix[1:].lower()}")
        if name in sources:
            faults.append(f"{path}: {sources[name].path} has the same name; upscale it into another --out")
        else:
            sources[name] = _Source(path, name)
    return list(sources.values()), faults


def _pixels(path: Path) -> int:
    """Of an image, from its header; 0 where it cannot be told, which reading it will tell."""
    if no_file(path):
        return 0
    try:
        with Image.open(path) as image:
            return image.width * image.height
    except FAULTS:
        return 0


def _one(spec: UpscaleSpec, loaded: LoadedModel, device: str, source: _Source) -> Upscaled:
    lr = shown_lr(source.path)
    if not is_file_name(source.name.name):
        raise EditError(f"{source.path}: its name cannot be {FILE_NAME}; rename it")
    if is_stochastic(loaded.model):
        require_memory(source.path.name, spec.samples, [spec.scale * side for side in lr.shape[-2:]])
    recipe = _recipe(spec, loaded, source.path)
    files = _files(spec, loaded, source.name)
    there = [file for file in files if file.exists()]
    for file in there:
        if read_recipe(file) != recipe:
            raise EditError(f"{file}: exists and was made in another way; choose another --out")
    kept = len(there) == len(files)
    if kept:
        samples = torch.stack([read_image(file) for file in files])
    else:
        draw = Draw(spec.temperature, spec.samples, spec.seed, spec.tile)
        samples = upscale_image(loaded.model, source.path.stem, lr, draw, device).images
        for file, image in zip(files, samples, strict=True):
            write_png(file, quantize_floor(image), recipe)
    return Upscaled(tuple(files), tuple(float(lr_psnr(one, lr)) for one in samples), kept)


def _files(spec: UpscaleSpec, loaded: LoadedModel, name: Path) -> list[Path]:
    one = not is_stochastic(loaded.model) or spec.samples == 1
    endings = [".png"] if one else [f"_sample{sample}.png" for sample in range(spec.samples)]
    return [spec.out / name.with_name(name.name + ending) for ending in endings]


def _recipe(spec: UpscaleSpec, loaded: LoadedModel, path: Path) -> str:
    facts = {"model": spec.model, "digest": loaded.digest, "scale": spec.scale, "lr": sha256_file(path)}
    if is_stochastic(loaded.model):
        facts |= {"temperature": spec.temperature, "samples": spec.samples, "seed": spec.seed}
    return json.dumps(facts | ({} if spec.tile is None else {"tile": spec.tile}))
