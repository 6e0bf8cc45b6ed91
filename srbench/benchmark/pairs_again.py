"""Pairs of a run folder read again from the dataset that its commands name: ``srbench verify --resample``."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from srbench.benchmark import BenchmarkError
from srbench.benchmark.findings import Findings
from srbench.benchmark.request import RunSpec, open_dataset
from srbench.benchmark.sampling import read_pair
from srbench.data.benchmark_sets.table import benchmark_sets, is_here
from srbench.images.io import pixels_sha256, quantize_floor
from srbench.interfaces import Dataset, SRBenchError
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.protocol import Protocol


def check_pairs(folder: RunFolder, images: Iterable[str], found: Findings) -> None:
    """Read kept pairs again from the datasets of their commands, as far as these are here, and compare both."""
    opened: dict[str, Dataset | None] = {}
    for image in images:
        asked = (one for one in reversed(folder.manifest.invocations) if image in one.images)
        command = next((one.command for one in asked), "")
        if command not in opened:
            opened[command] = _opened(command, folder.manifest.protocol, found)
        dataset, record = opened[command], folder.of(image).pair
        if dataset is None or record is None:
            continue
        if image not in set(dataset):
            found.add("SRB115", image, f"is not in {dataset.name} any more")
            continue
        try:
            pair = read_pair(dataset, image)
        except SRBenchError as error:
            found.add("SRB115", image, f"cannot be read again: {error}")
            continue
        for name, now, then in (("LR", pair.lr, record.lr), ("HR", pair.hr, record.hr)):
            if then is not None and (now is None or pixels_sha256(quantize_floor(now)) != then.pixels):
                found.add("SRB115", image, f"its {name} in {dataset.name} is another image than was measured")


def _opened(command: str, protocol: Protocol, found: Findings) -> Dataset | None:
    try:
        return open_dataset(_request(command, protocol))
    except SRBenchError as error:
        found.add("SRB210", protocol.dataset, f"the images were not compared with it: {error}")
        return None


def _request(command: str, protocol: Protocol) -> RunSpec:
    """The request of a command, as far as its dataset goes.

    Raises BenchmarkError for a call in Python that was given objects, and for a benchmark set that would be fetched.
    """
    try:
        program, name, *options = shlex.split(command)
    except ValueError:
        program, name, options = "", "", []
    if (program, name) != ("srbench", "run"):
        raise BenchmarkError("it was given in Python")
    given = dict(zip(options[::2], options[1::2], strict=False))
    hr, lr = given.get("--hr"), given.get("--lr")
    data = given.get("--data", RunSpec.data if lr is None else None)
    if data in benchmark_sets() and not is_here(data):
        raise BenchmarkError(f"{data} is not on this machine; run srbench data fetch {data}")
    degrade = given.get("--degrade")
    return RunSpec((), protocol.scale, data=data, hr=hr, lr=lr, crop=protocol.crop, degrade=degrade)
