"""The cost of loading patches in training: python benchmarks/loading.py FOLDER [--threads N] [--step N].

FOLDER has images of at least 160x160. For the preset celeba-x8 (16 patches of 160 pixels), prints seconds to decode and
downscale the folder (in a temporary cache); milliseconds to draw a batch, with the cache in memory or only on disk;
milliseconds to downscale the patches of a step instead of storing LR; and, with --step, how long SRFlow's step with N
patches takes and waits for them. Measure on a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import torch
from speed import median

from srbench.files.config import load_preset
from srbench.images.resize import downscale_uint8
from srbench.training.patches import Patches
from srflow import SRFlow
from srflow.presets import SRFlowPreset

SCALE = 8


def forget(cache: Path) -> None:
    """Evict the decoded pixels from the page cache."""
    for path in cache.rglob("pixels"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--step", type=int)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    preset = load_preset(files("srflow") / "presets", "celeba-x8", SRFlowPreset)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        cache = Path(name)
        os.environ["XDG_CACHE_HOME"] = name

        def opened(batch: int) -> Patches:
            return Patches([arguments.folder], SCALE, replace(preset.training, batch=batch))

        start = time.perf_counter()
        patches = opened(16)
        print(f"decoding and downscaling all images: {time.perf_counter() - start:.1f} s")
        steps = iter(range(10**6))
        print(f"a batch, in memory: {1000 * median(lambda: patches.batch(next(steps)), 20):.1f} ms")

        def reopen() -> None:
            nonlocal patches
            patches = opened(16)
            forget(cache)

        print(f"a batch, from the disk: {1000 * median(lambda: patches.batch(next(steps)), 20, reopen):.1f} ms")
        margin = preset.training.patch + 4 * SCALE
        larger = torch.randint(0, 256, (16, 3, margin, margin), dtype=torch.uint8)
        print(f"downscaling the patches instead: {1000 * median(lambda: downscale_uint8(larger, SCALE), 20):.1f} ms")
        if arguments.step:
            measure_step(preset, opened(arguments.step))


def measure_step(preset: SRFlowPreset, patches: Patches) -> None:
    """Time a step of SRFlow, with batches drawn ahead."""
    network, batches, waited = SRFlow(preset.network), patches.batches(0), []
    lr, hr = next(batches)
    network.initialize(hr, lr)
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)

    def step() -> None:
        start = time.perf_counter()
        lr, hr = next(batches)
        waited.append(time.perf_counter() - start)
        network(hr, lr).mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    taken = median(step, 3)
    print(f"a step with {len(lr)} patches: {taken:.2f} s, of which {1000 * max(waited):.1f} ms waiting for them")


if __name__ == "__main__":
    main()
