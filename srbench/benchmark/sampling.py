"""First stage of a run, images from models: pairs are read, outputs sampled and kept, each with its record."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from msgspec.structs import replace
from torch import Tensor

from srbench.benchmark import BenchmarkError
from srbench.files.hashes import sha256_bytes
from srbench.images import ImageError
from srbench.images.io import encode_png, pixels_sha256, quantize, quantize_floor, read_uint8
from srbench.interfaces import Dataset, ImagePair, Model, PrecomputedResults, StochasticSRModel
from srbench.models.inference import Draw, Output, upscale
from srbench.plugins.registry import call
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import ImageDigest, PairRecord, SampleRecord, digest

RUNAWAY = 0.5
"""Distance from the range of an image beyond which a value makes a sample a runaway."""
SAMPLED_ANEW = "not finished: sampled anew"
"""Error of a record that is written before the files of an earlier one are replaced."""


@dataclass(frozen=True, slots=True)
class Item:
    """A setting that has to be sampled for an image, or is sampled and lacks values."""

    setting: Setting
    key: str = ""
    """Key of the record to make; empty if only values are lacking."""
    source: str = ""
    """Digest of the files of precomputed results; empty for a model that computes."""
    fault: str = ""
    """Reason why it cannot be sampled: such a file is missing."""


def read_pair(dataset: Dataset, image: str) -> ImagePair:
    """A pair as its dataset gives it. Raises SRBenchError if the dataset fails, or gives anything but that pair."""
    pair: ImagePair = call(f"{image}: dataset {dataset.name}", dataset.read, image)
    if not isinstance(pair, ImagePair) or pair.name != image:
        raise BenchmarkError(
            f"{image}: dataset {dataset.name} returned no pair of that name; return ImagePair(name, lr, hr)"
        )
    if not all(one.is_floating_point() for one in ((pair.lr, pair.hr) if pair.has_hr else (pair.lr,))):
        raise BenchmarkError(f"{image}: dataset {dataset.name} returned integers; divide by 255, images are in [0, 1]")
    return pair


def keep_pair(folder: RunFolder, pair: ImagePair, key: str, invocation: int, tries: int) -> None:
    """Keep LR and, if there is one, HR of a pair in a run folder, with their record."""
    before = folder.of(pair.name).pair
    if before is not None and not before.failed and before.key != key:
        # A kill from here on leaves files of neither pair; without this line they would be taken for the earlier one.
        folder.append(PairRecord(key, pair.name, invocation, 0, SAMPLED_ANEW, None, None, folder.environment))
    lr_file, hr_file = folder.pair_files(pair.name)
    lr = _keep(folder, lr_file, quantize_floor(pair.lr))
    hr = _keep(folder, hr_file, quantize_floor(pair.hr)) if pair.has_hr else None
    folder.append(PairRecord(key, pair.name, invocation, tries, "", lr, hr, folder.environment, pair.uncropped))


def kept_pair(folder: RunFolder, image: str) -> ImagePair | None:
    """A pair from the files of a run folder; None if they are missing or other images."""
    files = folder.pair(image)
    if files is None:
        return None
    return ImagePair(image, *(read_uint8(file).float() / 255 for file in files))


def source_of(model: Model, image: str) -> str:
    """sha256 of the files of precomputed results; empty for a model that computes.

    Raises SRBenchError if they are missing.
    """
    return model.digest(image) if isinstance(model, PrecomputedResults) else ""


def sample(folder: RunFolder, model: Model, pair: ImagePair, temperature: float | None, device: str) -> Output:
    """Let a model upscale the LR image of a pair by the folder's protocol. Raises ModelError.

    The random generator starts from the run's seed and the LR image alone, so neither order, company, label nor number
    of processes changes a sample.
    """
    protocol, record = folder.manifest.protocol, folder.of(pair.name).pair
    assert record is not None
    assert record.lr is not None
    seed = int(digest("seed", protocol.seed, protocol.scale, record.lr.pixels)[:15], 16)
    count = protocol.samples if isinstance(model, StochasticSRModel) else 1
    return upscale(model, pair.name, pair.lr, Draw(temperature or 0.0, count, seed, protocol.tile), device)


def keep_sample(
    folder: RunFolder, item: Item, image: str, output: Output, invocation: int, tries: int
) -> tuple[SampleRecord, Tensor]:
    """Keep the outputs of a model in a run folder, as files as the protocol says; returns record and uint8 images."""
    nothing = failed_sample(item, image, SAMPLED_ANEW, invocation, 0, folder.environment)
    if item.setting in folder.of(image).samples:
        folder.append(nothing)
    images = quantize(output.images, folder.manifest.protocol.quantize)
    record = replace(
        nothing,
        tries=tries,
        error="",
        source=item.source,
        outputs=tuple(ImageDigest(pixels_sha256(one), None) for one in images),
        seconds=round(output.seconds, 4),
        peak_memory_mb=None if output.peak_memory_mb is None else round(output.peak_memory_mb, 1),
        runaway=runaway(output.images),
    )
    return _with_files(folder, record, images), images


def keep_again(
    folder: RunFolder, before: SampleRecord, images: Tensor, output: Output, invocation: int
) -> SampleRecord:
    """Keep the outputs of a record, sampled again and the same, in place of files that were lost; returns its record.

    Its values stay true, and so do time and memory.
    """
    made = {"invocation": invocation, "environment": folder.environment, "runaway": runaway(output.images)}
    return _with_files(folder, replace(before, **made), images)


def _with_files(folder: RunFolder, record: SampleRecord, images: Tensor) -> SampleRecord:
    """Keep as many outputs of a record as the protocol says; returns the record of them, which was appended."""
    files = folder.output_files(record, folder.manifest.protocol.kept)
    kept = [_keep(folder, path, one) for path, one in zip(files, images, strict=False)]
    record = replace(record, outputs=(*kept, *record.outputs[len(kept) :]))
    folder.append(record)
    return record


def runaway(outputs: Tensor) -> int:
    """Number of outputs (n, 3, H, W) with a value beyond the range [0, 1] by more than half of it."""
    least, largest = outputs.flatten(1).aminmax(dim=1)
    return int(((least < -RUNAWAY) | (largest > 1 + RUNAWAY)).sum())


def failed_sample(
    item: Item, image: str, error: str, invocation: int, tries: int, environment: str = ""
) -> SampleRecord:
    """The record of a setting that gave nothing for an image."""
    model, temperature = item.setting.model, item.setting.temperature
    return SampleRecord(item.key, image, invocation, tries, error, model, temperature, "", (), 0.0, None, environment)


def kept_outputs(folder: RunFolder, record: SampleRecord) -> Tensor | None:
    """The outputs of a record from their files, (n, 3, H, W) uint8; None unless all were kept and are unchanged."""
    files = folder.outputs(record)
    if len(files) < len(record.outputs):
        return None
    try:
        images = [read_uint8(file) for file in files]
    except ImageError:
        return None
    return torch.stack(images) if same_outputs(record, images) else None


def same_outputs(record: SampleRecord, images: Iterable[Tensor]) -> bool:
    """True if these images (3, H, W) uint8 are those of a record, pixel for pixel."""
    return [pixels_sha256(one) for one in images] == [known.pixels for known in record.outputs]


def _keep(folder: RunFolder, path: Path, image: Tensor) -> ImageDigest:
    content = encode_png(image)
    folder.write(path, content)
    return ImageDigest(pixels_sha256(image), sha256_bytes(content))
