"""The saved samples of a run as a distribution: rank histograms, spread and error, and curves over the number of
samples.

No record has these numbers. They are computed from the saved images and kept with the report, in a file for each row
and image.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from srbench.files.config import ConfigError, structure
from srbench.files.hashes import sha256_file
from srbench.plugins.code_digest import package_digest
from srbench.reporting.figures.image_files import evenly
from srbench.reporting.generated_folder import Draft
from srbench.reporting.results import Runs
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import digest, strict_json
from srbench.terminal.progress import Progress, Step, silent

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = "samples"
"""Folder of the numbers in a report."""
CURVES = 10
"""Largest number of images with curves, spread evenly over the list: LPIPS between all samples takes long."""
_CODE = ("srbench.metrics.calibration", "srbench.metrics.proper_scores", "srbench.metrics.ntire")


@dataclass(frozen=True)
class Curves:
    """Values of an image for its first 1, 2, ... n samples."""

    psnr: list[float | None]
    """PSNR of the mean in dB; None if the mean equals HR."""
    diversity: list[float]
    """S_n in percent. Empty, as ``energy`` is, if LPIPS was not asked for, or does not apply to the image."""
    energy: list[float]
    """LPIPS energy; of one sample, the square root of its LPIPS."""


@dataclass(frozen=True)
class SavedImage:
    """What the saved samples of an image say of their distribution."""

    ranks: list[float]
    """Rank histogram, n + 1 shares."""
    spread: float
    """Sum of the variances of the samples, in grey levels squared."""
    error: float
    """Sum of the squared errors of their mean."""
    curves: Curves | None
    """None for an image without curves."""


@dataclass(frozen=True)
class Sampler:
    """A row of the table whose samples are saved."""

    setting: Setting
    n: int
    """Number of samples used of every image, all of which are saved; 2 and up."""
    measured: int
    """Number of samples that were measured."""
    images: dict[str, SavedImage]


def saved_samplers(
    results: Runs, out: Draft, *, lpips: bool, progress: Progress = silent
) -> tuple[list[Sampler], list[Setting]]:
    """Return the samplers of a run, and the rows with several samples that are not here: fewer than two of some image.

    Numbers of the last report are reused if samples and HR are the same. ``lpips`` asks for the curves of LPIPS.
    Raises SRBenchError if images have unequal sizes.
    """
    samplers, absent = [], []
    for setting, group in groupby(results.measurements, key=lambda row: row.setting):
        rows = [*group]
        measured = max(row.samples for row in rows)
        if measured < 2:
            continue
        files = {row.image: results.outputs(row) for row in rows}
        pairs = {row.image: results.pair(row.image) or () for row in rows}
        n = min(map(len, files.values()))
        if n < 2 or min(map(len, pairs.values())) < 2:
            absent.append(setting)
            continue
        curved = evenly([*files], CURVES)
        images = {}
        for done, row in enumerate(rows):
            progress(Step(done, len(rows), f"report: samples of {setting.label}"))
            name, has_curves = row.image, row.image in curved
            pixels = [output.pixels for output in row.sample.outputs[:n]]
            key = digest("samples", _code(), results.pair_pixels(name)[1], pixels, has_curves, lpips)
            file = f"{FOLDER}/{setting.folder}/{name}.json"
            kept = _kept(out, file, key)
            if kept is None:
                kept = saved_image(files[name][:n], pairs[name][1], has_curves=has_curves, lpips=lpips)
                out.write(file, json.dumps(asdict(kept)).encode(), key)
            images[name] = kept
        samplers.append(Sampler(setting, n, measured, images))
    return samplers, absent


def saved_image(samples: Sequence[Path], hr: Path, *, has_curves: bool, lpips: bool) -> SavedImage:
    """Compute the numbers of an image from the files of its samples and HR. Raises SRBenchError for unequal sizes."""
    import torch

    from srbench.images.io import read_uint8
    from srbench.metrics import MetricError
    from srbench.metrics.calibration import rank_histogram, spread_and_error

    images, reference = [read_uint8(path) for path in samples], read_uint8(hr)
    if {image.shape for image in images} != {reference.shape}:
        raise MetricError(f"{samples[0]}: samples and HR differ in size; use a new --out")
    stacked = torch.stack(images)
    curves = curves_of_samples(stacked, reference, lpips=lpips) if has_curves else None
    return SavedImage(rank_histogram(stacked, reference).tolist(), *spread_and_error(stacked, reference), curves)


def curves_of_samples(samples: Tensor, hr: Tensor, *, lpips: bool) -> Curves:
    """Compute curves of uint8 samples (n, 3, H, W) against HR (3, H, W).

    Values of LPIPS are rounded to six decimals, which do not depend on the number of threads.
    """
    from srbench.interfaces import ImagePair
    from srbench.metrics.calibration import psnr_of_mean
    from srbench.metrics.ntire import diversity_of, spatial_maps
    from srbench.metrics.perceptual import LPIPS
    from srbench.metrics.proper_scores import lpips_energy, pairwise_lpips

    numbers = range(1, len(samples) + 1)
    psnr = [psnr_of_mean(samples[:n], hr) for n in numbers]
    diversity, energy = [], []
    if lpips and min(hr.shape[-2:]) // 8 * 8 >= LPIPS.smallest_side:
        distances = pairwise_lpips(samples, hr)
        energy = [round(lpips_energy(distances[: n + 1, : n + 1]), 6) for n in numbers]
        maps = spatial_maps(samples, ImagePair("", hr=hr / 255))
        diversity = [round(float(diversity_of(maps[:n])), 6) for n in numbers]
    return Curves(
        [value if math.isfinite(value) else None for value in psnr],
        diversity if all(map(math.isfinite, diversity)) else [],
        energy,
    )


def _kept(out: Draft, file: str, key: str) -> SavedImage | None:
    """Return the numbers of the last report; None if they are of other samples, or damaged."""
    if not out.reuse(file, key):
        return None
    try:
        return structure(strict_json(out.read(file)), SavedImage, file)
    except (ValueError, RecursionError, ConfigError):
        return None


@cache
def _code() -> str:
    return digest([*map(package_digest, _CODE), sha256_file(Path(__file__))])
