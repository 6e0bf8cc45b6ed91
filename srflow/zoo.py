"""SRFlow with its weights: the packaged ones, those of a training, and official checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from srflow.checkpoints.convert import converted, size_of
from srflow.model import SRFlow


def load_srflow(scale: int, weights: Path | None = None) -> SRFlow:
    """SRFlow: packaged weights, or a weights file. Raises WeightsError as ``SRFlow.from_pretrained`` does."""
    return SRFlow.from_pretrained(scale, weights)


def load_srflow_perceptual(scale: int, weights: Path | None = None) -> SRFlow:
    """SRFlow after a second stage of losses on its samples: packaged weights, or a weights file.

    Raises WeightsError as ``SRFlow.from_pretrained`` does.
    """
    return SRFlow.from_pretrained(scale, weights, "srflow-perceptual")


def load_official(state_dict: Mapping[str, Tensor], *, blocks: tuple[int, ...]) -> SRFlow:
    """Build the network of an official SRFlow checkpoint and fill it, in float32.

    Scale, levels, steps and the encoder's size are read from the names and shapes. ``blocks`` are the encoder blocks
    whose outputs are stacked (counted from 0), which no checkpoint tells: 1, 3, 5, 7 for CelebA 8x and DF2K 8x,
    1, 8, 15, 22 for DF2K 4x.
    Raises WeightsError where the tensors are not those of an SRFlow network.
    """
    source = {name.removeprefix("module."): tensor.float() for name, tensor in state_dict.items()}
    config = size_of(source, blocks)
    model = SRFlow(config)
    model.load_state_dict(converted(source, config))
    return model.eval()
