"""Trainings of SRFlow side by side, as a Markdown table: what each change to a preset is worth.

    python benchmarks/ablation.py photographs/val runs/residual runs/plain

On the central 256x256 of every image of the folder: bits per dimension of the noisy image, as in training, and of
SAMPLES samples at TEMPERATURE the PSNR, LPIPS and LR-PSNR, the share of images with a sample that ran away, and the
greatest value. An image has run away where a number is not finite or beyond RUNAWAY; it is left out of the means.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from srbench.datasets import Folder, cropped
from srbench.registry import load_metric
from srbench.types import Dataset, ImagePair, SRBenchError
from srbench.weights.files import weights_in
from srflow.model import SRFlow
from srflow.train import LEVELS
from srflow.zoo import load_srflow

SIDE, SAMPLES, TEMPERATURE = 256, 4, 0.8
RUNAWAY = 2.0
"""HR lies in [0, 1]."""
METRICS = ("psnr", "lpips", "lr_psnr")


@torch.no_grad()
def row(run: Path, photographs: Path) -> list[str]:
    """The cells of one training."""
    scale = int(json.loads((run / "training.json").read_text())["facts"]["scale"])
    model = load_srflow(scale, weights_in(run))
    images: Dataset = cropped(Folder(photographs, scale), scale, SIDE)
    pairs = [images.read(name) for name in images]
    bits = fmean(model.nll(_noisy(pair)[None], pair.lr[None]).item() for pair in pairs) + math.log2(LEVELS)
    answers = [(_samples(model, pair), pair) for pair in pairs]
    greatest = max(samples.nan_to_num(math.inf, math.inf, -math.inf).abs().max().item() for samples, _ in answers)
    kept = [(samples, pair) for samples, pair in answers if (samples.abs() <= RUNAWAY).all()]
    values = [
        fmean(load_metric(name)(samples, pair).mean().item() for samples, pair in kept) if kept else math.nan
        for name in METRICS
    ]
    cells = [f"{bits:.3f}", *(f"{value:.{digits}f}" for value, digits in zip(values, (2, 3, 1), strict=True))]
    return [run.name, *cells, f"{len(pairs) - len(kept)} of {len(pairs)}", f"{greatest:.3g}"]


def _noisy(pair: ImagePair) -> Tensor:
    noise = torch.rand(pair.hr.shape, generator=torch.Generator().manual_seed(0))
    return pair.hr + (noise - 0.5) / LEVELS


def _samples(model: SRFlow, pair: ImagePair) -> Tensor:
    """(SAMPLES, 3, H, W); all NaN where the model refuses because numbers ran away."""
    generator = torch.Generator().manual_seed(0)
    try:
        return model.sample(pair.lr, SAMPLES, temperature=TEMPERATURE, generator=generator)
    except SRBenchError:
        return torch.full((SAMPLES, *pair.hr.shape), math.nan)


def main(photographs: Path, runs: Sequence[Path]) -> None:
    """Print the table."""
    columns = ["training", "bits/dim", "PSNR", "LPIPS", "LR-PSNR", "ran away", "greatest value"]
    print(f"| {' | '.join(columns)} |\n| --- |{' ---: |' * (len(columns) - 1)}")
    for run in runs:
        print(f"| {' | '.join(row(run, photographs))} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(word) for word in sys.argv[2:]])
