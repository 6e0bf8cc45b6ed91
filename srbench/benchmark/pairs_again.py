"""Pairs of a run folder read again from the dataset that its commands name: ``srbench verify --resample``."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from srbench.benchmark import BenchmarkError
from srbench.benchmark.findings import Findings
from srbench.benchmark.request import RunSpec, open_dataset
from srbench.benchmark.sampling import read_pair
from srbench.data.benchmark_sets.table import benchmark_sets, is_here
from srbench.images.io import pixels_sha256, quantize_floor
from srbench.interfaces import Dataset, SRBenchError
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.protocol import Protocol


@dataclass(frozen=True)
class PairsAgain:
    """A check of the kept pairs against the datasets that they were read from, as far as these are here."""

    folder: RunFolder
    found: Findings
    _datasets: dict[str, tuple[Dataset, frozenset[str]] | None] = field(default_factory=dict)
    """Opened datasets and their names by the command that names them; None for one that is not here."""

    def check(self, image: str) -> None:
        """Read a pair again, and compare it with the one that was measured."""
        asked = (one for one in reversed(self.folder.manifest.invocations) if image in one.images)
        command = next((one.command for one in asked), "")
        if command not in self._datasets:
            self._datasets[command] = self._opened(command)
        opened, record = self._datasets[command], self.folder.of(image).pair
        if opened is None or record is None:
            return
        dataset, names = opened
        if image not in names:
            self.found.add("SRB115", image, f"is not in {dataset.name} any more")
            return
        try:
            pair = read_pair(dataset, image)
        except SRBenchError as error:
            self.found.add("SRB115", image, f"cannot be read again: {error}")
            return
        for name, now, then in (("LR", pair.lr, record.lr), ("HR", pair.hr, record.hr)):
            if then is not None and (now is None or pixels_sha256(quantize_floor(now)) != then.pixels):
                self.found.add("SRB115", image, f"its {name} in {dataset.name} is another image than was measured")

    def _opened(self, command: str) -> tuple[Dataset, frozenset[str]] | None:
        protocol = self.folder.manifest.protocol
        try:
            dataset = open_dataset(_request(command, protocol))
        except SRBenchError as error:
            self.found.add("SRB210", protocol.dataset, f"the images were not compared with it: {error}")
            return None
        return dataset, frozenset(dataset)


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
