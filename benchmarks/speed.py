"""Time and memory at the paper's sizes: python benchmarks/speed.py [CASE ...] [--threads N] [--repeats N].

Every case runs in its own process, for its own peak memory. Prints median seconds, GFLOP as counted by torch, GFLOP/s,
their share of this machine's best convolution (measured in the same process), and the memory taken beyond the loaded
network. Networks have random weights, on which times do not depend. Measure on a quiet machine.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from baselines.rrdb import RRDBConfig, RRDBNet
from srbench.machine.usage import operation_counter
from srflow import SRFlow

Work = Callable[[], object]


def sample(preset: str, side: int, n: int) -> Work:
    """Return the work of drawing ``n`` samples of an LR image of side x side."""
    model, generator = SRFlow.from_preset(preset).eval(), torch.Generator().manual_seed(0)
    lr = torch.rand(3, side, side)
    return lambda: model.sample(lr, n, temperature=0.0, generator=generator)


def encode(preset: str, side: int) -> Work:
    """Return the work of encoding an HR image to latents."""
    model = SRFlow.from_preset(preset).eval()
    hr, lr = torch.rand(1, 3, side * model.scale, side * model.scale), torch.rand(1, 3, side, side)
    return lambda: model.given(lr).encode(hr)


def training_step(preset: str, batch: int, *, reversible: bool) -> Work:
    """Return the work of a training step on HR patches of 160 pixels: loss, gradients and Adam."""
    model = SRFlow.from_preset(preset).train()
    model.reversible = reversible
    optimizer = torch.optim.Adam(model.parameters(), 1e-6, fused=True)
    hr = torch.rand(batch, 3, 160, 160)
    lr = F.avg_pool2d(hr, model.scale)

    def work() -> None:
        model.bits_per_dimension(lr, hr).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return work


def rrdb(side: int) -> Work:
    """Return the work of ESRGAN's generator on an LR image."""
    model, lr = RRDBNet(RRDBConfig(4, 64, 32, 23)).eval(), torch.rand(1, 3, side, side)

    def work() -> object:
        with torch.no_grad():
            return model(lr)

    return work


CASES: dict[str, Callable[[], Work]] = {
    "CelebA 8x, LR 20, one sample": lambda: sample("celeba-x8", 20, 1),
    "CelebA 8x, LR 20, ten samples": lambda: sample("celeba-x8", 20, 10),
    "CelebA 8x, LR 20, encode": lambda: encode("celeba-x8", 20),
    "DF2K 4x, LR 40, one sample": lambda: sample("df2k-x4", 40, 1),
    "DF2K 4x, LR 128, one sample": lambda: sample("df2k-x4", 128, 1),
    "CelebA 8x, training step, batch 4": lambda: training_step("celeba-x8", 4, reversible=False),
    "CelebA 8x, training step, batch 4, reversible": lambda: training_step("celeba-x8", 4, reversible=True),
    "RRDB 4x, LR 128": lambda: rrdb(128),
}


def best_convolution() -> float:
    """Measure GFLOP/s of a 3x3 convolution that suits the processor: 64 channels, 160 x 160, channels last."""
    x = torch.rand(1, 64, 160, 160).to(memory_format=torch.channels_last)
    weight = torch.rand(64, 64, 3, 3)
    with torch.no_grad():
        seconds = median(lambda: F.conv2d(x, weight, padding=1), 9)
    return 2 * 9 * 64 * 64 * 160 * 160 / seconds / 1e9


def median(work: Work, repeats: int) -> float:
    """Return the median seconds of ``work``, without the first run."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def measure(name: str, repeats: int) -> str:
    """Return the row of a case."""
    peak = best_convolution()
    work = CASES[name]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = median(work, repeats)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    gflop = arithmetic(name)
    rate = gflop / seconds
    return f"| {name} | {seconds:.3f} s | {gflop:.1f} | {rate:.0f} | {peak:.0f} | {rate / peak:.0%} | {memory:.0f} MB |"


def arithmetic(name: str) -> float:
    """Count the GFLOP of a case, without what the reversible step recomputes."""
    torch.set_num_threads(1)  # the counter only sees its own thread
    work = CASES[name.removesuffix(", reversible")]()
    counter = operation_counter()
    with counter:
        work()
    return counter.get_total_flops() / 1e9


def main() -> None:
    """Print the table of the cases whose names contain an argument."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", help="parts of names of cases; default: all")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    names = [name for name in CASES if not options.cases or any(part in name for part in options.cases)]
    if options.here:
        print(measure(options.cases[0], options.repeats))
        return
    print(f"torch {torch.__version__}, {options.threads} threads, medians of {options.repeats}\n")
    print("| work | time | GFLOP | GFLOP/s | best convolution | reached | memory |")
    print("|---|--:|--:|--:|--:|--:|--:|", flush=True)
    for name in names:
        arguments = [sys.executable, __file__, name, "--here", "--threads", str(options.threads)]
        subprocess.run([*arguments, "--repeats", str(options.repeats)], check=True)


if __name__ == "__main__":
    main()
