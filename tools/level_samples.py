"""Final step for packaged SRFlow weights: remove stripes from samples and bound their range.

    python tools/level_samples.py FILE photographs/train 0.84 srflow/weights/srflow-mini-x8.safetensors

Below temperature 1, the mean of a flow's samples is not the mean of its distribution: it differs by up to a grey level
between the four pixels of a cell of the finest squeeze, which leaves stripes with a period of two pixels. HR has no
such difference on average. This tool measures the difference on samples for photographs, and subtracts it from the
first bias of the flow. It also bounds the range of samples (``srflow.value_range``), which needs no weights. Neither
needs further training.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from srbench.data.datasets import open_folder
from srbench.files.atomic import write_new
from srbench.images.io import crop_centre
from srbench.terminal.progress import progress
from srbench.weights.files import weights_content
from srbench.weights.reading import read_weights
from srflow import SRFlow
from srflow.layers import Squeeze

MARGIN, SIDE = 0.05, 256
"""Margin beyond [0, 1] to which samples are bounded, and side of the photographs' central crops in HR pixels."""


@torch.no_grad()
def unevenness(network: SRFlow, images: Iterable[Tensor], temperature: float) -> Tensor:
    """Return the mean of samples at each pixel of a 2x2 cell minus the channel's mean: (12,), ordered as in Squeeze.

    One sample is drawn for every LR image (3, h, w).
    """
    differences = []
    for seed, lr in enumerate(images):
        sample = network.sample(lr, temperature=temperature, generator=torch.Generator().manual_seed(seed))
        means = Squeeze()(sample)[0].mean((0, 2, 3)).view(3, 4)
        differences.append((means - means.mean(1, keepdim=True)).flatten())
    return torch.stack(differences).mean(0)


def level(network: SRFlow, images: Iterable[Tensor], temperature: float) -> None:
    """Shift the outermost bias of the flow so that ``unevenness`` vanishes."""
    bias = network.get_parameter("flow.levels.0.transitions.0.norm.bias")
    shift = unevenness(network, images, temperature)
    with torch.no_grad():
        bias.add_(shift.view_as(bias))


def main(weights: Path, folder: Path, temperature: float, out: Path) -> None:
    """Write the levelled weights with their temperature and all other metadata of the file."""
    tensors, metadata = read_weights(weights)
    network = SRFlow.from_pretrained(int(metadata.scale or 0), weights, metadata.model)
    network.config = replace(network.config, range_margin=MARGIN)
    photographs, side = open_folder(folder, network.scale), SIDE // network.scale
    with progress() as bar:
        names = bar.track(list(photographs), description="photographs")
        level(network, (crop_centre(photographs.read(name).lr, side) for name in names), temperature)
    stored = {name: tensor.to(tensors[name].dtype) for name, tensor in network.state_dict().items()}
    metadata = replace(metadata, config=asdict(network.config), temperature=temperature)
    write_new(out, weights_content(stored, metadata.text()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))
