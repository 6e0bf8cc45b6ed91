"""Compare SRFlow with its authors' code: python benchmarks/official.py FOLDER [CASE ...] [--threads N] [--repeats N].

FOLDER is a checkout of https://github.com/andreas128/SRFlow (the last commit is 5a007ad), which needs natsort, PyYAML
and OpenCV; its code is not part of this project. Both run alternately, each in a process of its own, with random
weights of the paper's sizes and a new LR image for every call; times do not depend on the values. Prints the processor,
median seconds and their ratio. tests/srflow test that images are equal for equal weights. Measure on a quiet machine.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import chdir, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from speed import Work, rrdb, training_step

from srbench.machine.environment import hardware
from srflow import SRFlow

HR = 160
"""Side of the patches of a training step."""


class Official:
    """The authors' networks, by the name of their settings file."""

    def __init__(self, folder: Path) -> None:
        self.code = folder / "code"
        sys.path.insert(0, str(self.code))

    def network(self, settings: str) -> Any:  # noqa: ANN401 - code without types
        """Return a network with random weights."""
        network = import_module("models.modules.SRFlowNet_arch").SRFlowNet
        options = import_module("options.options")
        with chdir(self.code), redirect_stdout(io.StringIO()):
            given = options.dict_to_nonedict(options.parse(f"confs/{settings}.yml", is_train=False))
            facts = given["network_G"]
            return network(
                3, 3, facts["nf"], facts["nb"], scale=given["scale"], K=facts["flow"]["K"], opt=given, step=0
            )

    def sample(self, settings: str, side: int, n: int) -> Work:
        """Return the work of drawing ``n`` samples of an LR image of side x side, one after another."""
        network = self.network(settings).eval()
        flow, scale = network.flowUpsamplerNet, network.opt["scale"]
        height, width = (int(scale * side // reduction) for reduction in (flow.scaleH, flow.scaleW))

        def work() -> None:
            lr = torch.rand(1, 3, side, side)
            with torch.no_grad():
                for _ in range(n):
                    network(lr=lr, z=torch.randn(1, flow.C, height, width), eps_std=0.8, reverse=True)

        return work

    def training_step(self, settings: str, batch: int) -> Work:
        """Return the work of a training step: loss, gradients of all parameters and Adam."""
        network = self.network(settings).train()
        network.set_rrdb_training(True)
        optimizer = torch.optim.Adam(network.parameters(), 1e-6)
        hr = torch.rand(batch, 3, HR, HR)
        lr = F.avg_pool2d(hr, network.opt["scale"])

        def work() -> None:
            _, nll, _ = network(gt=hr, lr=lr, reverse=False)
            nll.mean().backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return work

    def rrdb(self, settings: str, side: int) -> Work:
        """Return the work of upscaling with the encoder alone."""
        network, lr = self.network(settings).RRDB.eval(), torch.rand(1, 3, side, side)

        def work() -> None:
            with torch.no_grad():
                network(lr)

        return work


def sample(preset: str, side: int, n: int) -> Work:
    """Return the work of drawing ``n`` samples of an LR image with our SRFlow."""
    model, generator = SRFlow.from_preset(preset).eval(), torch.Generator().manual_seed(0)
    return lambda: model.sample(torch.rand(3, side, side), n, generator=generator)


CELEBA, DF2K = "SRFlow_CelebA_8X", "SRFlow_DF2K_4X"
CASES: dict[str, tuple[Callable[[Official], Work], Callable[[], Work]]] = {
    "CelebA 8x, LR 20, one sample": (
        lambda official: official.sample(CELEBA, 20, 1),
        lambda: sample("celeba-x8", 20, 1),
    ),
    "CelebA 8x, LR 20, ten samples": (
        lambda official: official.sample(CELEBA, 20, 10),
        lambda: sample("celeba-x8", 20, 10),
    ),
    "DF2K 4x, LR 128, one sample": (lambda official: official.sample(DF2K, 128, 1), lambda: sample("df2k-x4", 128, 1)),
    "CelebA 8x, training step, batch 4": (
        lambda official: official.training_step(CELEBA, 4),
        lambda: training_step("celeba-x8", 4, reversible=False),
    ),
    "CelebA 8x, training step, batch 4, reversible": (
        lambda official: official.training_step(CELEBA, 4),
        lambda: training_step("celeba-x8", 4, reversible=True),
    ),
    "RRDB 4x, LR 128": (lambda official: official.rrdb(DF2K, 128), lambda: rrdb(128)),
}
"""The authors' work and ours, by name."""


class Side:
    """One side of a case, in a process of its own: neither inherits the other's threads, memory or settings."""

    def __init__(self, folder: Path, case: str, is_official: bool, threads: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._process = ProcessPoolExecutor(1, spawn, _open, (folder, case, is_official, threads))

    def seconds(self) -> float:
        """Run the work once."""
        return self._process.submit(_run).result()

    def close(self) -> None:
        """End the process."""
        self._process.shutdown()


_work: Work


def _open(folder: Path, case: str, is_official: bool, threads: int) -> None:
    global _work
    torch.set_num_threads(threads)
    theirs, ours = CASES[case]
    _work = theirs(Official(folder)) if is_official else ours()


def _run() -> float:
    start = time.perf_counter()
    _work()
    return time.perf_counter() - start


def in_turn(folder: Path, case: str, threads: int, repeats: int) -> tuple[float, float]:
    """Run both sides alternately and return their median seconds, without the first run of each."""
    sides = [Side(folder, case, is_official, threads) for is_official in (True, False)]
    times = [[side.seconds() for side in sides] for _ in range(repeats + 1)]
    for side in sides:
        side.close()
    official, own = (statistics.median(seconds) for seconds in zip(*times[1:], strict=True))
    return official, own


def main() -> None:
    """Print the table of the cases whose names contain one of the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("cases", nargs="*", help="parts of names of cases; default: all")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    processor = hardware("cpu")["cpu"]
    print(f"{processor}, torch {torch.__version__}, {given.threads} threads, medians of {given.repeats}\n")
    print("| work | official | srbench | ratio |\n|---|--:|--:|--:|", flush=True)
    for name in CASES:
        if not given.cases or any(part in name for part in given.cases):
            official_seconds, own_seconds = in_turn(given.folder.resolve(), name, given.threads, given.repeats)
            ratio = official_seconds / own_seconds
            print(f"| {name} | {official_seconds:.3f} s | {own_seconds:.3f} s | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
