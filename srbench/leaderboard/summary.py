"""Summary of a run, read from its records or from the user's cache, and its standing: verified or not, and why."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from srbench.benchmark.findings import RULES, Findings
from srbench.benchmark.structure import check_records, check_sums
from srbench.benchmark.verified import read_verified
from srbench.files.atomic import write_whole
from srbench.files.cache import cache_folder
from srbench.files.hashes import sha256_bytes, sha256_file
from srbench.interfaces import MetricFacts, ModelFacts
from srbench.leaderboard import LeaderboardError
from srbench.plugins.code_digest import package_digest
from srbench.run_folder.folder import SUMS, RunFolder
from srbench.run_folder.manifest import FILE as MANIFEST
from srbench.run_folder.protocol import Manifest, Setting
from srbench.run_folder.records import KINDS, SampleRecord, digest
from srbench.run_folder.results import Row, rows_of

State = Literal["verified", "unverified", "contradicted"]


@dataclass(frozen=True)
class Fault:
    """A run that breaks a rule; no rule if it cannot be read."""

    name: str
    rule: str
    text: str

    def __str__(self) -> str:
        """One line: ``results/mine: SRB005: near a: PSNR is 20.1, and the table has 21.1``."""
        return ": ".join(part for part in (self.name, self.rule, self.text) if part)


class Entry(msgspec.Struct, frozen=True):
    """A model at one temperature in a run."""

    model: ModelFacts
    """Its digest covers the files of results that were made elsewhere."""
    setting: Setting
    identity: str
    """SHA-256 of all that determines the outputs besides data, scale and tiles: equal ones are one row of a table."""
    draw: tuple[int, int] | None
    """Number of samples and seed of a model that samples."""
    values: dict[str, bytes]
    """Means over samples by metric, a float64 per image of the run; NaN where a value is missing."""


class Summary(msgspec.Struct, frozen=True):
    """A run in short."""

    manifest: Manifest
    """Facts of the run; ``metrics`` are those that a leaderboard shows."""
    data: str
    """SHA-256 of the names and pixels of all pairs: runs of equal data share it."""
    pairs: dict[str, bytes]
    """Digests of the pixels of LR and HR by name, of all images that were read, sorted."""
    entries: tuple[Entry, ...]
    findings: tuple[tuple[str, str, str], ...]
    """Rule, place and text of what the records contradict, or leave unverified."""

    @property
    def images(self) -> tuple[str, ...]:
        """Names of the images that were read, sorted."""
        return tuple(self.pairs)

    @property
    def metrics(self) -> tuple[MetricFacts, ...]:
        """Columns of a leaderboard."""
        return self.manifest.metrics


def runs_below(folders: list[Path]) -> list[Path]:
    """All run folders in some folders, sorted; nothing below a run or in a hidden folder is looked at.

    Raises LeaderboardError if there is none.
    """
    found = set()
    for folder in folders:
        for path, names, files in os.walk(folder):
            if MANIFEST in files:
                found.add(Path(path).resolve())
                names.clear()
            names[:] = [name for name in names if not name.startswith(".")]
    if not found:
        given = ", ".join(map(str, folders))
        raise LeaderboardError(f"{given}: no run in it; give folders that hold runs, such as srbench run --out writes")
    return sorted(found)


def summary_of(run: Path) -> Summary:
    """Summary of a run, from the cache if its sums and files are those that were read. Raises SRBenchError."""
    stamp, file = _stamp(run), cache_folder("index") / f"{sha256_bytes(os.fsencode(run.resolve()))}.msgpack"
    try:
        known, content = _CACHED.decode(file.read_bytes())
        if known == stamp:
            return content
    except (OSError, msgspec.MsgspecError):
        pass  # not read before, or by another srbench
    summary = read_summary(run)
    with suppress(OSError):  # read again the next time
        write_whole(file, msgspec.msgpack.encode((stamp, summary)))
    return summary


def read_summary(run: Path) -> Summary:
    """Summary of a run from its records, and what their sums and structure contradict. Raises SRBenchError."""
    folder, found = RunFolder.read(run), Findings(run)
    check_sums(folder, found)
    check_records(folder, found)
    manifest = folder.manifest
    shown = tuple(replace(one, evidence=None) for one in manifest.metrics if one.group != "Cost")
    found_pairs = {image: pair for image in manifest.scope if (pair := folder.of(image).pair) and not pair.failed}
    pixels = {image: digest(*(one and one.pixels for one in (pair.lr, pair.hr))) for image, pair in found_pairs.items()}
    pixels = dict(sorted(pixels.items()))
    images = tuple(pixels)
    by_setting: dict[Setting, list[Row]] = {}
    for row in rows_of(folder):
        by_setting.setdefault(row.setting, []).append(row)
    entries = tuple(_entry(folder, rows, shown, images) for rows in by_setting.values())
    findings = tuple((one.rule, one.where, one.text) for one in found.findings if one.severity != "note")
    models = tuple(replace(model, evidence=None) for model in manifest.models)
    manifest = replace(manifest, metrics=shown, models=models, tile_checks=())
    return Summary(
        manifest,
        digest("data", [*pixels.items()]),
        {image: bytes.fromhex(one)[:16] for image, one in pixels.items()},
        entries,
        findings,
    )


def _entry(folder: RunFolder, rows: list[Row], metrics: tuple[MetricFacts, ...], images: tuple[str, ...]) -> Entry:
    first, protocol = rows[0].sample, folder.manifest.protocol
    model = replace(folder.manifest.model(first.model), evidence=None)
    if sources := sorted(_sources(rows)):
        model = replace(model, digest=digest("results", model.digest, sources))
    draw = (protocol.samples, protocol.seed) if any(row.sample.drawn for row in rows) else None
    identity = digest("entry", model.digest, first.temperature, draw)
    row_of = {row.image: row for row in rows}
    values = {metric.name: _means(metric.name, [row_of.get(image) for image in images]) for metric in metrics}
    return Entry(model, rows[0].setting, identity, draw, {name: found.tobytes() for name, found in values.items()})


def _means(metric: str, rows: list[Row | None]) -> NDArray[np.float64]:
    """Means over samples of a metric; NaN where a value is missing."""
    found = [math.nan if row is None else row.values.get(metric, math.nan) for row in rows]
    return np.array([fmean(value) if isinstance(value, list) else value for value in found])


def _sources(rows: list[Row]) -> Iterator[tuple[str, str]]:
    """Images and files of results that were made elsewhere, which no digest of a model covers."""
    samples: Iterator[SampleRecord] = (row.sample for row in rows)
    return ((sample.image, sample.source) for sample in samples if sample.source)


def _stamp(run: Path) -> tuple[str, ...]:
    """Facts that a summary depends on: this code, the sums, and size and time of the files of lines."""
    stamp = [digest(package_digest(__name__), sha256_file(Path(__file__)))]
    stamp.append(sha256_file(run / SUMS) if (run / SUMS).is_file() else "")
    for name in (MANIFEST, *(kind.FILE for kind in KINDS)):
        file = run / name
        facts = file.stat() if file.exists() else None
        stamp.append(f"{facts.st_size} {facts.st_mtime_ns}" if facts else "")
    return tuple(stamp)


_CACHED = msgspec.msgpack.Decoder(tuple[tuple[str, ...], Summary])


@dataclass(frozen=True)
class Standing:
    """Standing of a run."""

    state: State
    words: str
    """When and how much was verified, or why not."""
    rule: str = ""
    """Rule that a contradicted run breaks."""


def standing_of(run: Path, summary: Summary) -> Standing:
    """Standing of a run by its records, and by the last ``srbench verify`` if that was about them."""
    for rule, where, text in summary.findings:
        if RULES[rule].severity == "contradicted":
            return Standing("contradicted", f"{where}: {text}", rule)
    found = read_verified(run)
    if found is None:
        return Standing("unverified", "no srbench verify of these records")
    if found.verdict == "contradicted":
        rule = min(found.rules, default="")
        return Standing("contradicted", RULES[rule].title if rule in RULES else "", rule)
    state: State = "verified" if found.verified else "unverified"
    return Standing(state, f"{found.date[:10]}: {found.words}")
