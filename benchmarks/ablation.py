"""Trainings of SRFlow side by side, as a Markdown table: what each change to a preset is worth.

    python benchmarks/ablation.py photographs/val runs/residual runs/plain --temperature 0.75,0.8

On the central 256x256 of every image of the folder: bits per dimension of the noisy image, as in training, and of
SAMPLES samples at every temperature (TEMPERATURE if none is named) the means of METRICS, with a 95 % interval of LPIPS;
how far edges on the LR grid are from even, at the strongest row or column; the share of images with a sample that ran
away, and the greatest value. An image has run away where a number is not finite or beyond RUNAWAY; it is left out of
the means. RUN is a training folder or a weights file, of srflow or srflow-perceptual.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from srbench.data.datasets import Folder, cropped
from srbench.interfaces import Dataset, ImagePair, SRBenchError
from srbench.plugins.registry import load_metric
from srbench.run_folder.statistics import mean_interval
from srbench.training.patterns import edges_on_grid
from srbench.weights.files import load_metadata, weights_in
from srflow.model import SRFlow
from srflow.training.train import LEVELS
from srflow.zoo import load_srflow, load_srflow_perceptual

SIDE, SAMPLES, TEMPERATURE = 256, 4, 0.8
RUNAWAY = 2.0
"""HR lies in [0, 1]."""
METRICS = {"psnr": 2, "lpips": 3, "lr_psnr": 1, "niqe": 1, "sigma": 1}
"""And their decimals."""
COLUMNS = (
    *("training", "temperature", "bits/dim", "PSNR", "LPIPS", "LR-PSNR", "NIQE", "sigma"),
    *("LPIPS less the first row's", "grid", "ran away", "greatest value"),
)


def main(photographs: Path, runs: Sequence[Path], temperatures: Sequence[float]) -> None:
    """Print the table."""
    print(f"| {' | '.join(COLUMNS)} |\n| --- |{' ---: |' * (len(COLUMNS) - 1)}")
    first: dict[str, float] | None = None
    for run in runs:
        path = weights_in(run) if run.is_dir() else run
        metadata = load_metadata(path)
        load = {"srflow": load_srflow, "srflow-perceptual": load_srflow_perceptual}[metadata["model"]]
        scale = int(json.loads(metadata["scale"]))
        images: Dataset = cropped(Folder(photographs, scale), scale, SIDE)
        pairs = [images.read(name) for name in images]
        model = load(scale, path)
        bits = bits_per_dimension(model, pairs)
        for temperature in temperatures:
            cells, lpips = row(model, pairs, temperature)
            first = lpips if first is None else first
            both = [lpips[name] - first[name] for name in lpips if name in first]
            low, high = mean_interval(both) if lpips is not first else (0.0, 0.0)
            cells.insert(5, f"{low:+.3f} to {high:+.3f}")
            print(f"| {run.name} | {temperature:g} | {bits:.3f} | {' | '.join(cells)} |", flush=True)


@torch.no_grad()
def bits_per_dimension(model: SRFlow, pairs: Sequence[ImagePair]) -> float:
    """Mean over the images, with one noise each."""
    return fmean(model.given(pair.lr).nll(_noisy(pair)[None]).item() for pair in pairs) + math.log2(LEVELS)


@torch.no_grad()
def row(model: SRFlow, pairs: Sequence[ImagePair], temperature: float) -> tuple[list[str], dict[str, float]]:
    """The cells of one training at one temperature, and LPIPS by image."""
    answers = [(_samples(model, pair, temperature), pair) for pair in pairs]
    greatest = max(samples.nan_to_num(math.inf, math.inf, -math.inf).abs().max().item() for samples, _ in answers)
    kept = [(samples, pair) for samples, pair in answers if (samples.abs() <= RUNAWAY).all()]
    metrics = {name: load_metric(name) for name in METRICS}
    values = {
        name: {pair.name: metric(samples, pair).mean().item() for samples, pair in kept}
        for name, metric in metrics.items()
    }
    means = [f"{fmean(values[name].values() or [math.nan]):.{digits}f}" for name, digits in METRICS.items()]
    scale = pairs[0].hr.shape[-1] // pairs[0].lr.shape[-1]
    grids = [edges_on_grid(samples.clamp(0, 1), scale) for samples, _ in kept]
    grid = (torch.stack(grids).mean(0) - 1).abs().max().item() if grids else math.nan
    ran_away = f"{len(pairs) - len(kept)} of {len(pairs)}"
    return [*means, f"{grid:.2f}", ran_away, f"{greatest:.3g}"], values["lpips"]


def _noisy(pair: ImagePair) -> Tensor:
    noise = torch.rand(pair.hr.shape, generator=torch.Generator().manual_seed(0))
    return pair.hr + (noise - 0.5) / LEVELS


def _samples(model: SRFlow, pair: ImagePair, temperature: float) -> Tensor:
    """(SAMPLES, 3, H, W); all NaN where the model refuses because numbers ran away."""
    generator = torch.Generator().manual_seed(0)
    try:
        return model.sample(pair.lr, SAMPLES, temperature=temperature, generator=generator)
    except SRBenchError:
        return torch.full((SAMPLES, *pair.hr.shape), math.nan)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("photographs", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--temperature", default=str(TEMPERATURE))
    given = parser.parse_args()
    main(given.photographs, given.runs, [float(number) for number in given.temperature.split(",")])
