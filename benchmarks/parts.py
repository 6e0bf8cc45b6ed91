"""The gain of each optimisation of SRFlow: python benchmarks/parts.py [PART ...] [--threads N] [--repeats N].

Replaces an optimisation by the plain computation, for every work that uses it, and times both alternately. A cell is
the fastest time without the optimisation over the fastest time with it: 1.25 means that it saves a fifth of the time.
One thread is measured in processor time, which other processes hardly affect; several threads in seconds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from unittest.mock import patch

import torch
import torch.nn.functional as F
from speed import Work, encode, sample, training_step
from torch import Tensor

from srflow import SRFlow, given, layers
from srflow.affine import Affine
from srflow.compute import constants, convolution

Part = AbstractContextManager[object]

WORKS: dict[str, Callable[[], Work]] = {
    "packaged sample": lambda: packaged(8, 40),
    "sample": lambda: sample("celeba-x8", 20, 1),
    "ten samples": lambda: sample("celeba-x8", 20, 10),
    "encode": lambda: encode("celeba-x8", 20),
    "DF2K sample": lambda: sample("df2k-x4", 128, 1),
    "step": lambda: training_step("celeba-x8", 2, reversible=False),
    "reversible step": lambda: training_step("celeba-x8", 2, reversible=True),
}
"""Packaged 8x at LR 40, CelebA 8x at LR 20, DF2K 4x at LR 128, and steps of CelebA 8x with two patches of 160."""
SAMPLING = ("packaged sample", "sample", "ten samples", "encode", "DF2K sample")


def packaged(scale: int, side: int) -> Work:
    """Return the work of drawing two samples of an LR image with the packaged network."""
    model, lr = SRFlow.from_pretrained(scale), torch.rand(3, side, side)
    return lambda: model.sample(lr, 2, generator=torch.Generator().manual_seed(0))


@contextmanager
def imported(function: Callable[..., object], plain: Callable[..., object]) -> Iterator[None]:
    """Replace a function by the plain one in every module of srflow that imported it."""
    patches = [
        patch.object(module, name, plain)
        for module in [module for name, module in sys.modules.items() if name.startswith("srflow")]
        for name, value in list(vars(module).items())
        if value is function
    ]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()


def convolve_upscaled(out: Tensor, x: Tensor, taps: Tensor, scale: int) -> Tensor:
    """Upscale, then convolve: the plain form of ``add_convolved_upscaled``."""
    weight = taps.view(3, 3, -1, taps.shape[1]).permute(2, 3, 0, 1)
    large = F.interpolate(x, scale_factor=scale)
    return out + F.conv2d(large, weight.contiguous(memory_format=torch.channels_last), padding=1)


def mix(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Mix channels by a 1x1 convolution."""
    return F.conv2d(x, weight[..., None, None], bias.flatten())


@contextmanager
def new_maps() -> Iterator[None]:
    """Allocate a new map for every ReLU and every sum, instead of overwriting maps."""
    with (
        patch.object(Tensor, "relu_", Tensor.relu),
        patch.object(Tensor, "add_", Tensor.add),
        patch.object(F, "relu", lambda x, inplace=False: x.relu()),
    ):
        yield


PARTS: dict[str, tuple[Callable[[], Part], tuple[str, ...]]] = {
    "convolve before upscaling": (
        lambda: imported(convolution.add_convolved_upscaled, convolve_upscaled),
        tuple(WORKS),
    ),
    "kept constants": (
        lambda: patch.object(constants.CachedConstants, "constant", lambda _, name, compute: compute()),
        SAMPLING,
    ),
    "mixing as a matrix product": (lambda: imported(layers._mix, mix), tuple(WORKS)),
    "maps that are overwritten": (new_maps, tuple(WORKS)),
    "coupling retraced once": (
        lambda: patch.object(layers.AffineCoupling, "retrace", layers.FlowLayer.retrace),
        ("reversible step",),
    ),
    "samples that fit the caches": (lambda: patch.object(given, "CACHE_PIXELS", 2**40), ("ten samples",)),
    "five samples at a time": (lambda: patch.object(given, "SAMPLE_BATCH", 100), ("ten samples",)),
}
"""Context that replaces an optimisation by the plain computation, and the works that use it, by name."""


def gain(work: Work, part: Callable[[], Part], clock: Callable[[], float], repeats: int) -> float:
    """Return the shortest time without the optimisation over the shortest with it, without the first run of each."""
    times: tuple[list[float], list[float]] = [], []
    for repeat in range(repeats + 1):
        for without in (True, False) if repeat % 2 else (False, True):
            with part() if without else patch.object(Affine, "__doc__", ""):
                start = clock()
                work()
                times[without].append(clock() - start)
    return min(times[True][1:]) / min(times[False][1:])


def main() -> None:
    """Print the table of the optimisations whose names contain an argument."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help="parts of names of optimisations; default: all")
    parser.add_argument("--works", nargs="*", default=list(WORKS), choices=WORKS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.threads == 1 else time.perf_counter
    chosen = [name for name in PARTS if not options.parts or any(word in name for word in options.parts)]
    print(f"torch {torch.__version__}, {options.threads} threads, minima of {options.repeats}\n")
    print("| without | " + " | ".join(options.works) + " |\n|---|" + "--:|" * len(options.works))
    cells: dict[tuple[str, str], str] = {}
    for name in options.works:
        work = WORKS[name]()
        for part in chosen:
            if name in PARTS[part][1]:
                cells[part, name] = f"{gain(work, PARTS[part][0], clock, options.repeats):.2f}"
                print(f"{part}, {name}: {cells[part, name]}", file=sys.stderr, flush=True)
    for part in chosen:
        print(f"| {part} | " + " | ".join(cells.get((part, name), "") for name in options.works) + " |")


if __name__ == "__main__":
    main()
