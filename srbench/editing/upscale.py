"""Upscale your own images: files and folders in, PNG files out. Existing outputs are kept."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from srbench.editing import EditError
from srbench.images.folders import images_below
from srbench.images.io import header_size, quantize_floor, read_image, read_recipe, read_uint8, reading, write_png
from srbench.interfaces import LargeSRModel, PrecomputedResults, Progress, SRBenchError, Step, StochasticSRModel, silent
from srbench.metrics import lr_psnr
from srbench.models.inference import Draw, choose_device, require_memory, upscale_one_by_one
from srbench.models.inference import upscale as upscale_image
from srbench.models.loading import LoadedModel, load_model
from srbench.system.file_names import FILE_NAME, is_file_name, no_file
from srbench.system.memory import free_bytes
from srbench.weights.files import sha256_file

AT_ONCE = 2**30
"""Bytes from which an image is upscaled in tiles on a CPU, where that gives the same image."""
TILE = 128
"""Side of these tiles in LR pixels: as fast as the whole image at once."""


@dataclass(frozen=True)
class UpscaleSpec:
    """The command line of ``srbench upscale`` as a value."""

    paths: tuple[Path, ...]
    model: str
    scale: int
    out: Path
    temperature: float
    samples: int
    seed: int
    """Seed of every image: ``model.sample`` with a generator of this seed gives the same samples."""
    device: str
    tile: int | None


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


def upscale(spec: UpscaleSpec, progress: Progress = silent) -> Iterator[Upscaled]:
    """Upscale one image after the other; one that fails is named and passed over.

    ``a.jpg`` becomes ``a.png``; ``a.jpg`` beside ``a.png`` becomes ``a_jpg.png``, and that ``a_png.png``.
    ``progress`` is called for every image, with the share of the pixels that is done.
    Raises SRBenchError if nothing can be upscaled: the model is unknown, or has another scale.
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
    pixels = [0 if no_file(path) else math.prod(header_size(path)) for path in sources.values()]
    for done, (name, path) in enumerate(sources.items()):
        share = sum(pixels[:done]) / max(sum(pixels), 1)
        progress(Step(done, total, str(path), share=share))
        try:
            parts = [share, pixels[done] / max(sum(pixels), 1)]

            def part(more: float, parts: list[float] = parts, done: int = done, path: Path = path) -> None:
                parts[0] += more * parts[1]
                progress(Step(done, total, str(path), share=parts[0]))

            yield _one(spec, loaded, device, path, name, part)
        except SRBenchError as error:
            progress(Step(done, total, "", str(error), share))
            yield Upscaled(fault=str(error))
    progress(Step(total, total, ""))


def _sources(spec: UpscaleSpec) -> tuple[dict[Path, Path], list[str]]:
    """Images below the paths, by their output without its ending, which keeps sub-folders; and one line per fault."""
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
    sources: dict[Path, Path] = {}
    for path, relative in found.items():
        name = relative.with_suffix("")
        if stems[name] > 1:
            name = name.with_name(f"{relative.stem}_{relative.suffix[1:].lower()}")
        if (other := sources.setdefault(name, path)) != path:
            faults.append(f"{path}: {other} has the same name; upscale it into another --out")
    return sources, faults


def _tile(spec: UpscaleSpec, model: object, device: str, path: Path, height: int, width: int) -> int | None:
    """The tile asked for, or one where the whole image would take more than AT_ONCE on a CPU.

    Raises EditError if even that takes more memory than there is.
    """
    if not isinstance(model, LargeSRModel) or device != "cpu":
        return spec.tile
    whole = spec.samples * model.memory(height, width, None)
    tile = TILE if spec.tile is None and whole > AT_ONCE else spec.tile
    needed, there = model.memory(height, width, tile), free_bytes()
    if there is not None and needed > there:
        raise EditError(
            f"{path}: LR of {height}x{width} takes {needed / 2**30:.1f} GB in tiles, and {there / 2**30:.1f} GB are "
            "free; cut it into parts"
        )
    return tile


def _one(
    spec: UpscaleSpec, loaded: LoadedModel, device: str, path: Path, name: Path, progress: Callable[[float], None]
) -> Upscaled:
    tile = _tile(spec, loaded.model, device, path, *(0, 0) if no_file(path) else header_size(path)[::-1])
    lr = read_uint8(path).float() / 255
    if not is_file_name(name.name):
        raise EditError(f"{path}: its name cannot be {FILE_NAME}; rename it")
    facts = {"model": spec.model, "digest": loaded.digest, "scale": spec.scale, "lr": sha256_file(path)}
    if how := reading(path.read_bytes()):
        facts["reading"] = how
    endings = [".png"]
    if isinstance(loaded.model, StochasticSRModel):
        one = isinstance(loaded.model, LargeSRModel) and device == "cpu"  # which needs no memory for the others
        require_memory(path.name, 1 if one else spec.samples, [spec.scale * side for side in lr.shape[-2:]])
        facts |= {"temperature": spec.temperature, "samples": spec.samples, "seed": spec.seed}
        if spec.samples > 1:
            endings = [f"_sample{sample}.png" for sample in range(spec.samples)]
    recipe = json.dumps(facts | ({} if spec.tile is None else {"tile": spec.tile}))
    files = tuple(spec.out / name.with_name(name.name + ending) for ending in endings)
    existing = [file for file in files if file.exists()]
    for file in existing:
        if read_recipe(file) != recipe:
            raise EditError(f"{file}: exists and was made in another way; choose another --out")
    if kept := len(existing) == len(files):
        samples = [read_image(file) for file in files]
    else:
        draw = Draw(spec.temperature, spec.samples, spec.seed, tile)
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
