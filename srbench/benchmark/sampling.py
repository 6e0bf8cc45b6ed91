"""First stage of a run: images from models. Pairs are read, outputs sampled and kept, each with its record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from srbench.images import ImageError
from srbench.images.io import encode_png, pixels_sha256, quantize, quantize_floor, read_uint8
from srbench.interfaces import ImagePair, PrecomputedResults
from srbench.models.inference import Draw, Model, Output, is_stochastic, upscale
from srbench.run_folder.folder import RunFolder, sample_key
from srbench.run_folder.records import ImageDigest, PairRecord, SampleRecord, digest
from srbench.weights.files import sha256_bytes

KEPT_SAMPLES = 5
"""How many samples of an image are kept as files; all are measured."""
SAMPLED_ANEW = "not finished: sampled anew"
"""The error of a record that is written before the files of an earlier one are replaced."""


def keep_pair(folder: RunFolder, pair: ImagePair, key: str, invocation: int, tries: int) -> PairRecord:
    """Keep LR and HR of a pair in a run folder, with their record."""
    before = folder.of(pair.name).pair
    if before is not None and not before.failed and before.key != key:
        # Whoever stops now leaves files that are nobody's; without this line they would be taken for the earlier pair.
        folder.append(PairRecord(key, pair.name, invocation, 0, SAMPLED_ANEW, None, None))
    files = zip(folder.pair_files(pair.name), (pair.lr, pair.hr), strict=True)
    lr, hr = (_keep(folder, path, quantize_floor(image)) for path, image in files)
    record = PairRecord(key, pair.name, invocation, tries, "", lr, hr)
    folder.append(record)
    return record


def kept_pair(folder: RunFolder, image: str) -> ImagePair | None:
    """The pair of a name from the files of a run folder; None where they are not there, or other images."""
    files = folder.pair(image)
    if files is None:
        return None
    lr, hr = (read_uint8(file).float() / 255 for file in files)
    return ImagePair(image, lr, hr)


def source_of(model: Model, image: str) -> str:
    """sha256 of the files that results made elsewhere are read from; empty for a model that computes.

    Raises SRBenchError where they are missing.
    """
    return model.digest(image) if isinstance(model, PrecomputedResults) else ""


def sample(folder: RunFolder, model: Model, pair: ImagePair, temperature: float | None, device: str) -> Output:
    """Let a model upscale the LR image of a pair as the folder's protocol says. Raises ModelError.

    The random generator starts from the run's seed and the LR image alone, so neither order, company, label nor number
    of processes changes a sample.
    """
    protocol, record = folder.manifest.protocol, folder.of(pair.name).pair
    assert record is not None
    assert record.lr is not None
    seed = int(digest("seed", protocol.seed, protocol.scale, record.lr.pixels)[:15], 16)
    count = protocol.samples if is_stochastic(model) else 1
    return upscale(model, pair.name, pair.lr, Draw(temperature or 0.0, count, seed, protocol.tile), device)


def keep_sample(
    folder: RunFolder, label: str, output: Output, image: str, temperature: float | None,
    *, source: str, invocation: int, tries: int,
) -> tuple[SampleRecord, Tensor]:  # fmt: skip
    """Keep the outputs of a model in a run folder, the first KEPT_SAMPLES as files; returns their record and uint8."""
    pair, protocol = folder.of(image).pair, folder.manifest.protocol
    assert pair is not None
    key = sample_key(protocol, folder.manifest.model(label).digest, source, pair.key, temperature)
    if (label, temperature) in folder.of(image).samples:
        folder.append(failed_sample(label, image, temperature, key, SAMPLED_ANEW, invocation, 0))
    images = quantize(output.images, protocol.quantize)
    digests = [ImageDigest(pixels_sha256(one), None) for one in images]
    record = SampleRecord(
        key=key,
        image=image,
        invocation=invocation,
        tries=tries,
        error="",
        model=label,
        temperature=temperature,
        source=source,
        outputs=(*(ImageDigest(one.pixels, "") for one in digests[:KEPT_SAMPLES]), *digests[KEPT_SAMPLES:]),
        seconds=round(output.seconds, 4),
        peak_memory_mb=None if output.peak_memory_mb is None else round(output.peak_memory_mb, 1),
    )
    kept = [_keep(folder, path, one) for path, one in zip(folder.output_files(record), images, strict=False)]
    record = replace(record, outputs=(*kept, *digests[KEPT_SAMPLES:]))
    folder.append(record)
    return record, images


def failed_sample(
    label: str, image: str, temperature: float | None, key: str, error: str, invocation: int, tries: int
) -> SampleRecord:
    """The record of a model that gave nothing for an image."""
    return SampleRecord(key, image, invocation, tries, error, label, temperature, "", (), 0.0, None)


def kept_outputs(folder: RunFolder, record: SampleRecord) -> Tensor | None:
    """The outputs behind a record from their files, (n, 3, H, W) uint8; None where not all were kept and are there."""
    files = folder.outputs(record)
    if len(files) < len(record.outputs):
        return None
    try:
        images = [read_uint8(file) for file in files]
    except ImageError:
        return None
    same = all(pixels_sha256(one) == known.pixels for one, known in zip(images, record.outputs, strict=True))
    return torch.stack(images) if same else None


def same_outputs(record: SampleRecord, images: Tensor) -> bool:
    """Are these images (n, 3, H, W) uint8 those of a record, pixel for pixel?"""
    return [pixels_sha256(one) for one in images] == [known.pixels for known in record.outputs]


def _keep(folder: RunFolder, path: Path, image: Tensor) -> ImageDigest:
    content = encode_png(image)
    folder.write(path, content)
    return ImageDigest(pixels_sha256(image), sha256_bytes(content))
