"""``srbench index --check``: verify all runs below some folders, by themselves and against each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from srbench.benchmark.findings import REPORT, Finding, Findings
from srbench.benchmark.verify import verify
from srbench.interfaces import Progress, SRBenchError, silent
from srbench.leaderboard.summary import Fault, Standing, read_summary, runs_below
from srbench.leaderboard.tables import Run, tables_of
from srbench.reporting.check import report_findings
from srbench.words import one_line


def check_index(
    folders: list[Path], *, resample: int | Literal["all"] = 0, progress: Progress = silent
) -> tuple[list[Findings], list[Fault]]:
    """Verify every run below some folders, and compare those that name the same model or dataset.

    Returns the findings of the runs that can be read, and all contradictions. ``resample`` items of every run are
    sampled again. Raises LeaderboardError if there is no run.
    """
    paths = runs_below(folders)
    checked, faults, runs = [], [], []
    for path in paths:
        try:
            found, summary = verified(path, resample=resample, progress=progress), read_summary(path)
        except (SRBenchError, OSError) as error:
            faults.append(Fault(str(path), "", one_line(error)))
            continue
        checked.append(found)
        runs.append(Run(str(path), summary, Standing("unverified", "")))
        faults += [Fault(str(path), one.rule, f"{one.where}: {one.text}") for one in contradictions(found)]
    return checked, [*faults, *_between(runs)]


def verified(
    run: Path, *, resample: int | Literal["all"] = 0, device: str = "auto", progress: Progress = silent
) -> Findings:
    """Findings of ``srbench verify`` about a run and its report. Raises SRBenchError."""
    found = verify(run, resample=resample, device=device, progress=progress)
    for kind, where, text in report_findings(run):
        found.add(REPORT[kind], where, text)
    return found


def contradictions(found: Findings) -> list[Finding]:
    """Findings that contradict a run."""
    return [one for one in found.findings if one.severity == "contradicted"]


def _between(runs: list[Run]) -> Iterator[Fault]:
    """Contradictions between runs: values of a model, weights of a name, images of a dataset."""
    for table in tables_of(runs):
        yield from (Fault(found.runs[1], "SRB013", str(found)) for found in table.contradictions)
    weights: dict[tuple[str, int], tuple[str, str]] = {}
    pixels: dict[tuple[object, ...], tuple[str, bytes]] = {}
    for run in runs:
        protocol = run.summary.manifest.protocol
        for model in run.summary.manifest.models:
            if model.weights is None:
                continue
            other, known = weights.setdefault((model.label, protocol.scale), (run.name, model.weights.sha256))
            if known != model.weights.sha256:
                text = f"{model.label}: its weights are {model.weights.sha256[:12]}, but {known[:12]} in {other}"
                yield Fault(run.name, "SRB014", text)
        data = (protocol.dataset, protocol.scale, protocol.crop, protocol.lr)
        for image, digest in run.summary.pairs.items():
            other, before = pixels.setdefault((*data, image), (run.name, digest))
            if before != digest:
                yield Fault(run.name, "SRB015", f"{protocol.dataset}: {image} is a different image in {other}")
                break
