"""Checkpoints of the official SRFlow with random weights, of which tests/golden/srflow holds the official results."""

import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from srflow import SRFlow
from srflow.checkpoints.convert import converted, size_of

GOLDEN = Path(__file__).parent / "golden" / "srflow"


def checkpoint(case):
    """Return the state dict of ``x4_tiny`` or ``x8_tiny``, with official names, in float16.

    The 3x3 convolutions are drawn from a uniform distribution, each with a seed made of its name. NumPy never changes
    the numbers of ``RandomState``. All other tensors are small and come from a file.
    """
    drawn = json.loads((GOLDEN / case / "meta.json").read_text())["drawn"]
    tensors = load_file(GOLDEN / case / "weights.safetensors")
    for name, (bound, shape) in drawn.items():
        numbers = np.random.RandomState(zlib.crc32(name.encode())).uniform(-bound, bound, shape)
        tensors[name] = torch.from_numpy(numbers.astype(np.float16))
    return tensors


def load_official(tensors, *, blocks):
    """Return the network of any size that a checkpoint holds, in float32; ``blocks`` are the stacked encoder blocks."""
    source = {name: tensor.float() for name, tensor in tensors.items()}
    config = replace(size_of(source), stacked=blocks)
    network = SRFlow(config)
    network.load_state_dict(converted(source, config))
    return network.eval()
