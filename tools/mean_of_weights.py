"""Average two weights files of one network.

    python tools/mean_of_weights.py perceptual.safetensors srflow.safetensors 0.5 mean.safetensors

The second stage of SRFlow lowers LPIPS, and the diversity of samples with it. A mean of its weights and of those from
which it started lies between: networks trained on from the same weights stay close enough for that (Wortsman et al.,
"Robust fine-tuning of zero-shot models", CVPR 2022).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from srbench.files.atomic import write_new
from srbench.weights.files import weights_content
from srbench.weights.reading import read_weights


def mean(first: Mapping[str, Tensor], second: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return ``share`` of ``first`` and the rest of ``second``, computed in float64, in the types of ``first``.

    Raises ValueError if the files do not hold tensors of the same names and shapes.
    """
    if {name: tensor.shape for name, tensor in first.items()} != {
        name: tensor.shape for name, tensor in second.items()
    }:
        raise ValueError("the two files are of different networks; average files of one")
    return {name: torch.lerp(second[name].double(), of.double(), share).to(of.dtype) for name, of in first.items()}


def main(first: Path, second: Path, share: float, out: Path) -> None:
    """Write the mean with the metadata of ``first``."""
    (tensors, metadata), (others, _) = read_weights(first), read_weights(second)
    write_new(out, weights_content(mean(tensors, others, share), metadata.text()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))
