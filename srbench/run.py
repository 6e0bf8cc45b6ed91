"""Work items -> rows. A run killed at any moment continues where it stopped: a row that is there stays."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from torch import Tensor

from srbench.console import progress, say
from srbench.images import quantize_floor, write_png
from srbench.inference import Draw, enlarge
from srbench.manifest import (
    ManifestError,
    hardware,
    metric_facts,
    model_facts,
    now,
    read_manifest,
    software,
    write_manifest,
)
from srbench.plan import SUITE, Bench, RunSpec, WorkItem, open_bench, plan
from srbench.results import FILE, Row, read_all_rows
from srbench.types import ImagePair, Metric, SRBenchError

SAVED_SAMPLES = 5
"""How many samples of a picture are kept as pictures; all are measured."""


class RunError(SRBenchError):
    """A run that cannot start, or an item that cannot be measured."""


@dataclass(frozen=True)
class Outcome:
    """What became of a run."""

    folder: Path
    measured: int
    """Items measured now; those that were there are not counted."""
    rows: int
    """Items that the folder holds: what a report can be made of."""
    failures: tuple[str, ...]
    """One line for every picture or result that could not be measured."""


def run(spec: RunSpec) -> Outcome:
    """Measure all that is not measured yet, into the folder of the run.

    A picture or result that cannot be measured is named and passed over. Raises SRBenchError where the run
    cannot start: unknown names, unusable weights or folders, a folder that cannot be written.
    """
    bench = open_bench(spec)
    folder = Path(spec.out) if spec.out else _default_folder(spec, bench.models)
    _prepare(folder)
    items, failures = plan(bench)
    for failure in failures:
        _report(failure)
    done = read_all_rows(folder)
    open_items = [item for item in items if item.key not in done]
    facts = _facts(bench, items, folder)
    write_manifest(folder, facts | {"failures": failures})
    if not open_items:
        say(f"nothing to do: all {len(items)} items are measured in {folder}")
    measured, broken = _measure_all(bench, open_items, folder)
    failures += broken
    finished = now() if measured or not facts["finished"] else facts["finished"]
    write_manifest(folder, facts | {"finished": finished, "failures": failures})
    return Outcome(folder, measured, len(items) - len(open_items) + measured, tuple(failures))


def measure(bench: Bench, item: WorkItem, pair: ImagePair, folder: Path) -> Row:
    """Run the model, save its pictures, evaluate the metrics. Raises SRBenchError where one of them fails."""
    draw = Draw(item.temperature or 0.0, item.samples, item.generator_seed, item.tile)
    output = enlarge(bench.models[item.model].model, pair, draw, bench.device)
    start = time.perf_counter()
    values = {metric.name: _value(metric, output.pictures, pair) for metric in bench.metrics}
    metric_seconds = time.perf_counter() - start
    _save_pictures(item, pair, output.pictures, folder / "images")
    return Row(
        key=item.key,
        model=item.model,
        temperature=item.temperature,
        dataset=item.dataset,
        image=item.image,
        scale=item.scale,
        samples=len(output.pictures),
        seed=item.seed,
        suite=item.suite,
        values=values,
        model_seconds=round(output.seconds, 4),
        metric_seconds=round(metric_seconds, 4),
        peak_memory_mb=None if output.peak_memory_mb is None else round(output.peak_memory_mb, 1),
    )


def _measure_all(bench: Bench, items: list[WorkItem], folder: Path) -> tuple[int, list[str]]:
    failures: list[str] = []
    measured = 0
    image, pair = "", None
    with (folder / FILE).open("ab") as rows, progress() as bar:
        task = bar.add_task("", total=len(items), visible=bool(items))
        for item in items:
            bar.update(task, description=f"{item.setting} {item.image}")
            try:
                if item.image != image:
                    image, pair = item.image, None
                    pair = bench.dataset.read(image)
                if pair is not None:  # else it is unreadable, and was named with the first model
                    row = measure(bench, item, pair, folder)
                    rows.write(f"{row.to_json()}\n".encode())
                    rows.flush()
                    os.fsync(rows.fileno())
                    measured += 1
            except SRBenchError as error:
                failures.append(_report(str(error) if pair is None else f"{item.setting}: {error}"))
            bar.advance(task)
    return measured, failures


def _value(metric: Metric, pictures: Tensor, pair: ImagePair) -> list[float] | float:
    try:
        value = metric(pictures, pair)
    except SRBenchError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise RunError(f"{pair.name}: {metric.name} failed: {type(error).__name__}: {reason}") from error
    numbers: list[float] | float = value.double().tolist()
    if any(map(math.isnan, numbers if isinstance(numbers, list) else [numbers])):
        raise RunError(f"{pair.name}: {metric.name} is not defined for this picture (NaN); leave one of them out")
    return numbers


def _save_pictures(item: WorkItem, pair: ImagePair, pictures: Tensor, images: Path) -> None:
    for kind, picture in (("hr", pair.hr), ("lr", pair.lr)):
        path = images / kind / f"{item.image}.png"
        if not path.exists():
            write_png(path, quantize_floor(picture))
    if item.temperature is None and len(pictures) == 1:
        write_png(images / item.setting / f"{item.image}.png", quantize_floor(pictures[0]))
    else:
        for sample, picture in enumerate(pictures[:SAVED_SAMPLES]):
            path = images / item.setting / f"{item.image}_sample{sample}.png"
            write_png(path, quantize_floor(picture))


def _default_folder(spec: RunSpec, labels: Iterable[str]) -> Path:
    """The newest folder of the same run, whatever its day, else one of today."""
    suffix = f"-{'-'.join(labels)}-x{spec.scale}"
    runs = Path("runs")
    for folder in sorted(runs.glob("*") if runs.is_dir() else [], reverse=True):
        if re.fullmatch(r"\d{4}-\d\d-\d\d" + re.escape(suffix), folder.name):
            try:
                if read_manifest(folder)["spec"] == spec.facts():
                    return folder
            except (ManifestError, KeyError):
                continue
    return runs / f"{date.today().isoformat()}{suffix}"


def _prepare(folder: Path) -> None:
    """Make the folder; drop a last row without an end, which a kill tore."""
    rows = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with rows.open("ab+") as file:
            file.seek(0)
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)
    except OSError as error:
        raise RunError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from None


def _facts(bench: Bench, items: list[WorkItem], folder: Path) -> dict[str, Any]:
    spec, keys = bench.spec, [item.key for item in items]
    try:
        before = read_manifest(folder)
    except ManifestError:
        before = {}
    same = before.get("keys") == keys
    return {
        "command": spec.command(),
        "spec": spec.facts(),
        "suite": SUITE,
        "dataset": {
            "name": bench.dataset.name,
            "pictures": len(bench.dataset),
            "names": list(bench.dataset),
            "limit": spec.limit,
            "crop": spec.crop,
            "lr": "a folder of its own, paired by name" if spec.lr else "made from HR by MATLAB-exact bicubic",
        },
        "scale": spec.scale,
        "samples": spec.samples,
        "temperatures": list(spec.temperatures),
        "seed": spec.seed,
        "metrics": [metric_facts(metric) for metric in bench.metrics],
        "models": [model_facts(m.label, m.spec, m.digest, m.weights) for m in bench.models.values()],
        "software": software(),
        "hardware": hardware(bench.device),
        "started": before["started"] if same else now(),
        "finished": before["finished"] if same else None,
        "keys": keys,
    }


def _report(failure: str) -> str:
    say(f"failed: {failure}")
    return failure
