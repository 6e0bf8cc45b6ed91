"""The last step for packaged SRFlow weights: bounded samples without stripes.

    python tools/level_samples.py FILE photographs/train 0.84 srflow/weights/srflow-mini-x8.safetensors

Below temperature 1 the mean of a flow's samples is not that of its distribution: it differs by up to a grey level
between the four pixels of a cell of the finest squeeze, which leaves stripes of two pixels. HR has no such difference
on average. So it is measured on samples for photographs, and taken out of the first bias of the flow. The range is
bounded too (``srflow.value_range``), which takes no weights. Neither needs further training.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from srbench.data.datasets import cropped, open_folder
from srbench.files.atomic import write_new
from srbench.terminal.progress import progress
from srbench.weights.files import weights_content
from srbench.weights.metadata import load_described
from srflow import SRFlow
from srflow.layers import Squeeze

MARGIN, SIDE = 0.05, 256
"""Bound of the range, and side of the photographs' centres in HR pixels."""


@torch.no_grad()
def unevenness(network: SRFlow, images: Iterable[Tensor], temperature: float) -> Tensor:
    """Mean of a sample of every LR image (3, h, w), less that of its colour, for each pixel of a 2x2 cell, (12,).

    The order is that of ``Squeeze``.
    """
    found = []
    for seed, lr in enumerate(images):
        sample = network.sample(lr, temperature=temperature, generator=torch.Generator().manual_seed(seed))
        means = Squeeze()(sample)[0].mean((0, 2, 3)).view(3, 4)
        found.append((means - means.mean(1, keepdim=True)).flatten())
    return torch.stack(found).mean(0)


def level(network: SRFlow, images: Iterable[Tensor], temperature: float) -> None:
    """Shift the outermost bias of the flow so that ``unevenness`` vanishes."""
    bias = network.get_parameter("flow.levels.0.transitions.0.norm.bias")
    shift = unevenness(network, images, temperature)
    with torch.no_grad():
        bias.add_(shift.view_as(bias))


def main(weights: Path, folder: Path, temperature: float, out: Path) -> None:
    """Write the levelled weights, with everything else that the file holds and the temperature."""
    tensors, metadata = load_described(weights)
    network = SRFlow.from_pretrained(int(metadata.scale or 0), weights, metadata.model)
    network.config = replace(network.config, range_margin=MARGIN)
    photographs = cropped(open_folder(folder, network.scale), network.scale, SIDE)
    with progress() as bar:
        names = bar.track(list(photographs), description="photographs")
        level(network, (photographs.read(name).lr for name in names), temperature)
    stored = {name: tensor.to(tensors[name].dtype) for name, tensor in network.state_dict().items()}
    metadata = replace(metadata, config=asdict(network.config), temperature=temperature)
    write_new(out, weights_content(stored, metadata.text()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))
