"""Search for the protocols of published numbers, given the folders of images."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srbench.explaining import ExplainError
from srbench.explaining.explanation import Explained, Explanation
from srbench.explaining.images import LEVELS, Images, ImageValues
from srbench.explaining.matching import UNUSUAL, Candidate, Printed
from srbench.explaining.protocols.clips import FRAMES, TRIED, clips_of, gathered_by_clips
from srbench.explaining.protocols.families import family
from srbench.explaining.protocols.table import MetricProtocol
from srbench.images.folders import groups_of, images_in
from srbench.images.io import header_size
from srbench.images.pairing import require_partners, scale_of_pairs, without_partner
from srbench.interfaces import SRBenchError
from srbench.machine.processes import measuring_workers
from srbench.metrics.loading import open_metric
from srbench.models.inference import choose_device
from srbench.models.precomputed import ResultFolder
from srbench.terminal.progress import Progress, Step, silent

if TYPE_CHECKING:
    from torch import Tensor

Folder = str | Path | Mapping[str, Any]
FIRST = "the first sample of each image"
"""Words of protocols that leave out all other samples."""
SCALES = (2, 3, 4, 8)
"""Scales whose crops are tried if the scale is unknown."""


def explain(
    values: str | float | Sequence[str | float],
    metrics: str | Sequence[str],
    *,
    sr: Folder,
    hr: Folder,
    lr: str | Path | None = None,
    scale: int | None = None,
    measured: str | float | Sequence[str | float] | None = None,
    progress: Progress = silent,
    workers: int | None = 1,
    device: str = "auto",
) -> Explanation:
    """Find the protocols under which images have a published number.

    Args:
        values: One or several numbers, preferably as printed text ("28.10" keeps its zero): one per metric, or all of a
            single metric.
        metrics: One or several of psnr, ssim, lpips, niqe, fid, kid and ``pyiqa:NAME``.
        sr: Folder of outputs, or images by name: (3, H, W), or samples (n, 3, H, W), of which the mean and the first
            are tried; uint8, or floating point in [0, 1].
        hr: Folder of HR images, paired by name, or images (3, H, W) by name.
        lr: Folder of LR images, from which the scale is computed.
        scale: Upscaling factor, the width of cropped borders; without ``scale`` and ``lr``, the crops of several scales
            are tried.
        measured: Your own number or numbers, to explain too.
        progress: Called with a ``srbench.terminal.progress.Step`` after every image.
        workers: Number of worker processes; None: as many as cores, images and, for metrics on a GPU, its free memory
            permit.
        device: Device of LPIPS, FID, KID and the metrics of pyiqa: cpu, cuda or mps; ``auto`` takes a GPU if there is
            one.

    Returns:
        An explanation of each number: ``text()`` in words, ``matches`` and ``candidates`` as protocols and values.

    Raises:
        SRBenchError: A number, metric or folder is invalid.

    Examples:
        >>> import numpy as np
        >>> hr = np.random.default_rng(0).integers(0, 200, (3, 64, 64), dtype=np.uint8)
        >>> found = explain("32.57", "psnr", sr={"a": hr + 6}, hr={"a": hr}, scale=4)
        >>> found[0].matches[0].protocol.words
        'RGB, no crop'
    """
    texts, names = _listed(values), _listed(metrics)
    measured_texts = [] if measured is None else _listed(measured)
    for text in (values, measured):
        if isinstance(text, str) and re.fullmatch(r"-?\d+(,\d+)+", text, re.ASCII):
            apart = text.replace(",", ", ")
            raise ExplainError(f"{text!r} may have a decimal comma; write a point, or '{apart}' for whole numbers")
    if len(names) == 1:
        names *= max(len(texts), 1)
    if len(texts) != len(names) or len(measured_texts) not in (0, len(texts)):
        raise ExplainError(
            f"{len(texts)} values, {len(names)} metrics"
            f"{f' and {len(measured_texts)} measured' if measured_texts else ''}; give one value for each metric, in "
            "the same order"
        )
    printed = [Printed(text) for text in texts]
    measured_numbers = [Printed(text) for text in measured_texts]
    tried = try_protocols(names, sr=sr, hr=hr, lr=lr, scale=scale, progress=progress, workers=workers, device=device)
    numbers = []
    for name, number, measured_number in zip_longest(names, printed, measured_numbers):
        default = next((candidate for candidate in tried.candidates[name] if candidate.is_default), None)
        default = None if tried.sizes_differ else default
        numbers.append(replace(tried.explained(name, number), default=default, measured=measured_number))
    return Explanation(tuple(numbers), tried.images, tried.scale, tried.remarks)


@dataclass(frozen=True)
class Tried:
    """Values of metrics under every protocol, for two folders of images."""

    images: int
    """Number of images compared."""
    scale: int | None
    candidates: Mapping[str, tuple[Candidate, ...]]
    """Protocols and values by metric, the most common first."""
    remarks: tuple[str, ...]
    """Lines about sizes, scales and images that could not be read."""
    sizes_differ: bool
    clips: int = 0
    """Number of clips; 0 if the images are in no group."""

    def explained(self, metric: str, printed: Printed) -> Explained:
        """Return the explanation of a published number."""
        of_metric = family(metric)
        tried = f"{of_metric.tried}; {TRIED}" if self.clips and of_metric.is_mean else of_metric.tried
        return Explained(metric, of_metric.title, printed, self.candidates[metric], tried, of_metric.not_tried)


def try_protocols(
    metrics: Sequence[str],
    *,
    sr: Folder,
    hr: Folder,
    lr: str | Path | None = None,
    scale: int | None = None,
    progress: Progress = silent,
    workers: int | None = 1,
    device: str = "auto",
    groups: Mapping[str, str] | None = None,
) -> Tried:
    """Compute metrics under every protocol. Arguments and errors are those of ``explain``.

    ``groups`` are the clips of the images by name, by default the subfolders of ``hr``.
    """
    families = {name: family(name) for name in metrics}
    outputs = _tensors(sr) if isinstance(sr, Mapping) else ResultFolder(Path(sr), 1)
    hr_images: dict[str, Any] = {**(_single(_tensors(hr)) if isinstance(hr, Mapping) else images_in(Path(hr)))}
    if groups is None:
        groups = {} if isinstance(hr, Mapping) else groups_of(hr_images)
    hr_folder = "hr" if isinstance(hr, Mapping) else hr
    if scale is None and lr is not None:
        sizes = {
            name: header_size(image) if isinstance(image, Path) else (image.shape[-1], image.shape[-2])
            for name, image in hr_images.items()
        }
        scale = scale_of_pairs(sizes, hr_folder, images_in(Path(lr)), lr)
    if isinstance(outputs, ResultFolder):
        outputs.pair_with(hr_images, scale)
        require_partners(outputs.without_partner(hr_images, hr_folder))
    else:
        alone = [name for name in outputs if name not in hr_images]
        require_partners(without_partner(hr_images, hr_folder, outputs, "sr", "", alone))
    images = Images(outputs, hr_images, tuple(families), (scale,) if scale else SCALES, choose_device(device))
    compared = _measured(images, workers, progress)
    usable = [image for image in compared if not image.fault]
    if not usable:
        raise ExplainError(f"no image could be compared: {compared[0].fault}")
    clips = clips_of([image.image for image in usable], groups)
    candidates = {name: _candidates(name, usable, scale, clips) for name in families}
    sizes_differ = any(image.sizes for image in usable)
    return Tried(len(usable), scale, candidates, tuple(_remarks(compared, scale)), sizes_differ, len(clips))


def _listed(values: str | float | Sequence[str | float]) -> list[str]:
    if isinstance(values, str):
        return [part.strip() for part in values.split(",")]
    return [str(value) for value in ([values] if isinstance(values, int | float) else values)]


def _tensors(images: Mapping[str, Any]) -> Mapping[str, Tensor]:
    from srbench.metrics.functions import image_tensor

    return {name: image_tensor(image, name) for name, image in images.items()}


def _single(batches: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return the only image (3, H, W) of each batch. Raises ExplainError for several images of a name."""
    for name, batch in batches.items():
        if len(batch) > 1:
            raise ExplainError(f"{name} has {len(batch)} HR images; give one (3, H, W)")
    return {name: batch[0] for name, batch in batches.items()}


def _measured(images: Images, workers: int | None, progress: Progress) -> list[ImageValues]:
    """Measure all images and return their values in order."""
    count = len(images.hr)
    if workers is None:
        on_gpu = any(family(metric).gpu for metric in images.metrics)
        workers = measuring_workers(images.device if on_gpu else "cpu", 2 * count)
    workers = min(workers, count)
    by_name: dict[str, ImageValues] = {}
    for image in images.measured(workers):
        by_name[image.image] = image
        progress(Step(len(by_name), count, image.image, image.fault))
    progress(Step(count, count, ""))
    return [by_name[name] for name in images.hr]


def _remarks(images: Sequence[ImageValues], scale: int | None) -> Iterator[str]:
    yield from (f"left out: {image.fault}" for image in images if image.fault)
    counts = {len(values) for image in images for values in image.values.values()}
    if max(counts) > 1:
        number = "-".join(map(str, sorted({min(counts), max(counts)})))
        yield f"{number} samples of each image are compared; protocols take their mean or the first alone"
    if unequal := [image for image in images if image.sizes]:
        first = unequal[0]
        yield (
            f"output and HR differ in size for {len(unequal)} of {len(images)} images ({first.image}: "
            f"{' and '.join(first.sizes)}): the larger is cut at the bottom and right, unless stated otherwise"
        )
    if scale is None:
        scales = ", ".join(map(str, SCALES))
        yield f"the scale is unknown, so the crops of scales {scales} are tried; state it with --scale"


def _candidates(
    metric: str, images: Sequence[ImageValues], scale: int | None, clips: Sequence[Sequence[int]]
) -> tuple[Candidate, ...]:
    """Return the values of a metric under every protocol, the most common first.

    Placements that change no image are left out. ``clips`` are the indices of the frames of each clip; frames and means
    of clips, and the first of several samples, are chosen only for protocols that are not unusual.
    """
    of_metric = family(metric)
    columns: dict[MetricProtocol, list[Sequence[Any]]] = defaultdict(list)
    for image in images:
        for protocol, values in image.values.items():
            if protocol.metric in of_metric.metrics:
                columns[protocol].append(values)
    candidates = []
    seen = set()
    for protocol, column in columns.items():
        if len(column) < len(images):  # some image is too small for this crop
            continue
        key = (protocol.channels, protocol.way, protocol.border, protocol.levels, str(column))
        if protocol.placement and key in seen:
            continue
        seen.add(key)
        firsts = [values[:1] for values in column]
        has_samples = of_metric.is_mean and firsts != column
        for gathered, value in of_metric.gathered(protocol, column):
            signature = _signature(gathered.text, "round" if gathered.levels == LEVELS["round"] else "floor")
            if signature is None:
                gathered = replace(gathered, parameters=None)
            if has_samples:
                gathered = replace(gathered, samples="mean over samples")
            used_by = of_metric.suites(gathered, scale).items()
            suites = {suite.name: _signature(of_suite, suite.quantize) for suite, of_suite in used_by}
            candidate = Candidate(gathered, value, signature, suites, gathered.text == metric)
            candidates.append(candidate)
            if clips and of_metric.is_mean and candidate.rarity < UNUSUAL:
                of_clips = gathered_by_clips(of_metric, gathered, column, clips)
                candidates += [Candidate(chosen, mean, signature, suites) for chosen, mean in of_clips]
            if has_samples and candidate.rarity < UNUSUAL:
                chosen = replace(gathered, samples="", frames=FIRST, order=(*gathered.order, len(FRAMES)))
                candidates.append(Candidate(chosen, next(of_metric.gathered(chosen, firsts))[1], signature, suites))
    return tuple(sorted(candidates, key=lambda candidate: candidate.commonness))


@cache
def _signature(text: str | None, quantize: str) -> str | None:
    """Return the signature of a metric for outputs quantised by ``quantize``; None if srbench cannot compute it."""
    if text is None:
        return None
    try:
        return open_metric(text, quantize).info.signature
    except SRBenchError:
        return None
