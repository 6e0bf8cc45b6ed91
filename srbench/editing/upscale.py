"""Enlarge a person's own pictures: files and folders in, PNG files out. What is there is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from srbench.folders import pictures_in
from srbench.images import quantize_floor, quantize_round, read_image, read_recipe, write_png
from srbench.inference import Draw, choose_device, is_stochastic
from srbench.inference import upscale as upscale_image
from srbench.metrics import lr_psnr
from srbench.models import LoadedModel, load_model
from srbench.names import FILE_NAME, is_file_name
from srbench.types import PrecomputedResults, SRBenchError
from srbench.weights.files import sha256_file


class UpscaleError(SRBenchError):
    """Pictures or a model that cannot be used for enlarging."""


@dataclass(frozen=True)
class UpscaleSpec:
    """What to enlarge and how: the command line, as a value."""

    paths: tuple[Path, ...]
    model: str
    scale: int
    out: Path
    temperature: float
    samples: int
    seed: int
    """All pictures are drawn from it: ``model.sample`` with a generator of this seed gives the same."""
    device: str
    tile: int | None


@dataclass(frozen=True)
class Enlarged:
    """What became of one picture."""

    files: tuple[Path, ...] = ()
    """One a sample; none where the picture could not be enlarged."""
    lr_psnr: tuple[float, ...] = ()
    """In dB, one a file."""
    kept: bool = False
    """The files were there, made in the same way."""
    fault: str = ""


def upscale(spec: UpscaleSpec) -> Iterator[Enlarged]:
    """Enlarge one picture after the other; one that cannot be is named and passed over.

    Raises SRBenchError where nothing can be enlarged: the model is unknown, or of another scale.
    """
    device = choose_device(spec.device)
    loaded = load_model(spec.model, spec.scale, device)
    if isinstance(loaded.model, PrecomputedResults):
        raise UpscaleError(f"{spec.model}: a folder of results enlarges nothing; name a model")
    names: dict[str, Path] = {}
    for path in spec.paths:
        try:
            found = [*pictures_in(path).values()] if path.is_dir() else [path]
        except SRBenchError as error:
            yield Enlarged(fault=str(error))
            continue
        for picture in found:
            try:
                yield _one(spec, loaded, device, picture, names)
            except SRBenchError as error:
                yield Enlarged(fault=str(error))


def shown_lr(path: Path) -> Tensor:
    """A picture as a model is shown it: (3, h, w) in [0, 1], a multiple of 1/255. Raises ImageError."""
    return quantize_round(read_image(path)).float() / 255


def _one(spec: UpscaleSpec, loaded: LoadedModel, device: str, path: Path, names: dict[str, Path]) -> Enlarged:
    lr = shown_lr(path)
    if not is_file_name(path.stem):
        raise UpscaleError(f"{path}: its name cannot be {FILE_NAME}; rename it")
    if path.stem in names:
        raise UpscaleError(f"{path}: {names[path.stem]} has the same name; enlarge it into another --out")
    names[path.stem] = path
    recipe = _recipe(spec, loaded, path)
    files = _files(spec, loaded, path.stem)
    there = [file for file in files if file.exists()]
    for file in there:
        if read_recipe(file) != recipe:
            raise UpscaleError(f"{file}: is there and was made in another way; choose another --out")
    kept = len(there) == len(files)
    if kept:
        samples = torch.stack([read_image(file) for file in files])
    else:
        draw = Draw(spec.temperature, spec.samples, spec.seed, spec.tile)
        samples = upscale_image(loaded.model, path.stem, lr, draw, device).images
        for file, picture in zip(files, samples, strict=True):
            write_png(file, quantize_floor(picture), recipe)
    return Enlarged(tuple(files), tuple(float(lr_psnr(one, lr)) for one in samples), kept)


def _files(spec: UpscaleSpec, loaded: LoadedModel, name: str) -> list[Path]:
    if not is_stochastic(loaded.model) or spec.samples == 1:
        return [spec.out / f"{name}.png"]
    return [spec.out / f"{name}_sample{sample}.png" for sample in range(spec.samples)]


def _recipe(spec: UpscaleSpec, loaded: LoadedModel, path: Path) -> str:
    facts = {"model": spec.model, "digest": loaded.digest, "scale": spec.scale, "lr": sha256_file(path)}
    if is_stochastic(loaded.model):
        facts |= {"temperature": spec.temperature, "samples": spec.samples, "seed": spec.seed}
    return json.dumps(facts | ({} if spec.tile is None else {"tile": spec.tile}))
