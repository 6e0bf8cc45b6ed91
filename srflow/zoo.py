"""SRFlow with packaged weights, weights from training, or official checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from srflow.checkpoints.convert import converted, size_of
from srflow.model import SRFlow


def load_srflow(scale: int, weights: Path | None = None) -> SRFlow:
    """SRFlow, from packaged weights or a weights file. Raises WeightsError as ``SRFlow.from_pretrained`` does."""
    return SRFlow.from_pretrained(scale, weights)


def load_srflow_perceptual(scale: int, weights: Path | None = None) -> SRFlow:
    """SRFlow after its second training stage, with losses on samples; from packaged weights or a weights file.

    Raises WeightsError as ``SRFlow.from_pretrained`` does.
    """
    return SRFlow.from_pretrained(scale, weights, "srflow-perceptual")


def load_official(state_dict: Mapping[str, Tensor], *, blocks: tuple[int, ...]) -> SRFlow:
    """Build and fill the network of an official SRFlow checkpoint, in float32.

    Scale, levels, steps and the encoder's size follow from names and shapes. ``blocks`` are the indices of the encoder
    blocks whose outputs are stacked, which a checkpoint does not contain: 1, 3, 5, 7 for CelebA 8x and DF2K 8x, and
    1, 8, 15, 22 for DF2K 4x. Raises WeightsError if the tensors are not those of an SRFlow network.
    """
    source = {name.removeprefix("module."): tensor.float() for name, tensor in state_dict.items()}
    config = size_of(source, blocks)
    model = SRFlow(config)
    model.load_state_dict(converted(source, config))
    return model.eval()
