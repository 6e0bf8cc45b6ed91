"""One process or several, a cluster, parts that are merged, a run that was stopped: the same rows and images."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import srbench.benchmark.engines.choice
from srbench.benchmark.engines.processes import processes
from srbench.benchmark.tasks import Session

from srbench.benchmark.run import run
from srbench.run_folder.merge import merge
from srbench.verification.verify import verify


class StoppedError(Exception):
    """Somebody stops a run."""


def in_processes(workers):
    def way(spec, monkeypatch):
        return run(spec, workers=workers)

    return way


def apart(spec, monkeypatch):
    """One process samples and two others measure, as on a GPU."""

    def call(session, tasks, opening, samplers, scorers):
        processes(session, tasks, opening, [None], 2)

    monkeypatch.setattr(srbench.benchmark.engines.choice, "processes", call)
    return run(spec, workers=2)


def by_dask(spec, monkeypatch):
    pytest.importorskip("distributed")
    return run(spec, workers=2, engine="dask")


def merged_shards(spec, monkeypatch):
    parts = [replace(spec, shard=f"{number}/3", out=f"{spec.out}-{number}") for number in (1, 2, 3)]
    outcomes = [run(part) for part in parts]
    merge([one.folder for one in outcomes], Path(spec.out))
    total = [sum(getattr(one, name) for one in outcomes) for name in ("items", "sampled", "scored")]
    failures = tuple(failure for one in outcomes for failure in one.failures)
    return replace(
        outcomes[0], folder=Path(spec.out), items=total[0], sampled=total[1], scored=total[2], failures=failures
    )


def resumed(spec, monkeypatch):
    """Stopped before the seventh item; then in processes, stopped again; then to the end."""
    before, begun = Session.begin, Counter()

    def begin(session, *what):
        begun["items"] += 1
        if begun["items"] == 7:
            raise StoppedError
        before(session, *what)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "begin", begin)
        with pytest.raises(StoppedError):
            run(spec)
    return run(spec, workers=2)


WAYS = {
    "2 processes": in_processes(2),
    "4 processes": in_processes(4),
    "sampling and scoring apart": apart,
    "dask": by_dask,
    "3 merged shards": merged_shards,
    "resumed": resumed,
}


@pytest.mark.parametrize("way", WAYS)
def test_the_same_rows_as_in_one_process(spec, results, tmp_path, monkeypatch, way):
    serial = run(spec)
    other = WAYS[way](replace(spec, out=str(tmp_path / "other")), monkeypatch)
    assert results(other.folder) == results(serial.folder)
    assert other.items == serial.items == 24
    if way != "resumed":
        assert sorted(other.failures) == sorted(serial.failures)
        assert (other.sampled, other.scored) == (serial.sampled, serial.scored) == (15, 45)
    keys = Counter(json.loads(line)["key"] for line in (other.folder / "rows.jsonl").read_text().splitlines())
    assert set(keys.values()) == {1}, "none twice"
    found = verify(other.folder, resample=3)
    assert found.holds, found.text()
