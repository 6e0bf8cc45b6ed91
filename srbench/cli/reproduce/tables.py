"""Published tables that ``srbench reproduce`` measures, and the numbers of both side by side."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from srbench.benchmark.request import RunSpec
from srbench.cli.reproduce import ReproduceError
from srbench.data.benchmark_sets.table import find_set, is_here
from srbench.files.config import load_toml
from srbench.reporting.measurements import read_runs
from srbench.reporting.published import PublishedTable, published_rows, read_tables
from srbench.reporting.scores import printed, score
from srbench.run_folder.manifest import read_manifest
from srbench.weights.table import cached_path, find_released, released_weights

RUNS = files("srbench.cli.reproduce") / "tables.toml"


@dataclass(frozen=True)
class Reproduction:
    """Run that measures a published table."""

    source: str
    """Source of the table in ``published.toml``."""
    data: str
    scale: int
    suite: str
    metrics: tuple[str, ...]
    temperature: float
    rows: dict[str, str]
    """Published row -> model, as on the command line."""

    def spec(self, out: Path) -> RunSpec:
        """Request for the run that measures all rows."""
        return RunSpec(
            tuple(self.rows.values()),
            self.scale,
            self.data,
            suite=self.suite,
            metrics=self.metrics,
            temperature=(self.temperature,),
            out=str(out),
        )

    @property
    def needs(self) -> str:
        """All that it needs, in words."""
        weights = [name for model in self.rows.values() if (name := model.partition(":")[2]) in released_weights()]
        return f"data {self.data}; weights {', '.join(weights)}" if weights else f"data {self.data}"

    def missing(self) -> list[str]:
        """Data and weights that are missing: a sentence for each that says how to get it."""
        found = [] if is_here(self.data) else [f"data {self.data}: {find_set(self.data).wanted(self.data)}"]
        for model in self.rows.values():
            name = model.partition(":")[2]
            if name in released_weights() and not cached_path(name).is_file():
                file = find_released(name).file
                found.append(f"weights {name}: srbench weights fetch {name}, or srbench weights add {name} {file}")
        return found


def reproductions() -> dict[str, Reproduction]:
    """Everything that can be reproduced, by name."""
    return load_toml(RUNS, dict[str, Reproduction])


def side_by_side(asked: Reproduction, out: Path) -> Table:
    """Paper, measured and difference of every number that can be compared, from a run folder."""
    measurements, manifest = read_runs([out]), read_manifest(out)
    table = measurements.table()
    scores = score(table, table.summary(), manifest.metrics)
    published = published_rows(manifest, scores.metrics, [_table(asked)])
    specs = {model.label: model.spec for model in manifest.models}
    lines = [line for line in scores.lines if line.setting.temperature in (None, asked.temperature)]
    measured = {specs[line.setting.model]: line.cells for line in lines}
    found = Table("row", "metric", "paper", "measured", "difference", box=SIMPLE_HEAD, pad_edge=False, header_style="")
    for line in published.lines:
        cells = measured.get(asked.rows.get(line.label, ""), {})
        for metric in scores.metrics:
            paper = line.cells[metric.name]
            if cells and not paper.why and paper.text != "–":
                here = cells[metric.name].mean
                difference = f"{here - float(paper.text):+.{metric.digits}f}"
                found.add_row(line.label, metric.title, paper.text, printed(here, metric), difference)
    if not found.rows:
        raise ReproduceError(f"{out}: none of its numbers can be compared; {' '.join(published.notes)}")
    return found


def _table(asked: Reproduction) -> PublishedTable:
    for table in read_tables():
        if (table.source, table.data, table.scale) == (asked.source, asked.data, asked.scale):
            return table
    raise ReproduceError(f"no published table of {asked.source} has {asked.data} at scale {asked.scale}")
