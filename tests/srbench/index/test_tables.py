"""What shares a table, what is ranked, and how: over random sets of runs."""

from __future__ import annotations

import itertools
import os
import random
from dataclasses import dataclass, replace

import numpy as np
import pytest
from builders import metric
from record_runs import Made, write_run

from srbench.leaderboard.contents import make_index
from srbench.leaderboard.tables import _differ
from srbench.leaderboard.writing import write_index
from srbench.run_folder.statistics import holm

SETS = 300
IMAGES = ("i1", "i2", "i3", "i4", "i5", "i6", "i7", "i8", "i9")
SIGNATURES = {"psnr": ("PSNR|RGB|v1", "PSNR|Y|v1"), "lpips": ("LPIPS|alex|v1", "LPIPS|vgg|v1"), "ssim": ("SSIM|v1",)}
DIRECTION = {"psnr": 1, "lpips": -1, "ssim": 1}


@dataclass(frozen=True)
class Known:
    """What a run was made of."""

    made: Made
    changed: frozenset[str]
    """Labels whose first value of the first metric is not what the model gives elsewhere."""


def values_of(digest: str, signature: str, pixels: list[str]) -> list[float]:
    """What a model gives: equal for equal model, signature and images. Some models differ clearly, others do not."""
    level = sum(map(ord, digest)) % 3
    return [20 + level + random.Random(f"{digest} {signature} {one}").gauss(0, 0.4) for one in pixels]


def random_run(rng: random.Random) -> Known:
    source = rng.choice("AAB")
    pixels = {image: f"{source} {image}" for image in IMAGES[: rng.choice((9, 9, 9, 8))]}
    shown = rng.sample(sorted(SIGNATURES), rng.randint(1, 3))
    metrics = tuple(
        metric(name, signature=rng.choice(SIGNATURES[name][:1] * 2 + SIGNATURES[name]), direction=DIRECTION[name])
        for name in shown
    )
    labels = rng.sample(("m1", "m2", "m3", "m4"), rng.randint(1, 4))
    digests = {label: f"{label} {rng.choice('aaab')}" for label in labels}
    values = {
        label: {one.name: values_of(digests[label], one.signature, [*pixels.values()]) for one in metrics}
        for label in labels
    }
    changed = frozenset(label for label in labels if rng.random() < 0.25)
    for label in changed:
        values[label][shown[0]][0] += rng.choice((1, 2))
    protocol = {"scale": rng.choice((4, 4, 4, 4, 8)), "suite": rng.choice(("s@1", "s@1", "s@1", "t@1"))}
    protocol["tile"] = rng.choice((None, None, None, None, 32))
    return Known(Made(pixels, values, metrics, rng.choice("de"), protocol, digests), changed)


def test_an_infinite_value_agrees_with_none_but_itself():
    one, other = np.array([np.inf, np.inf, 20.0, np.nan]), np.array([np.inf, 20.1, 20.0, 1.0])
    assert _differ(one, other).tolist() == [False, True, False, False]


def paired(one: np.ndarray, other: np.ndarray) -> float:
    """The exact permutation test, by all changes of sign."""
    differences = one - other
    sums = [abs(np.dot(signs, differences)) for signs in itertools.product((1, -1), repeat=len(differences))]
    return float(np.mean(np.array(sums) >= abs(differences.sum()) - 1e-9))


def check_ranks(standings):
    """Ranks and letters are those of paired tests that are made here again, in the only way of a textbook."""
    for at, one in enumerate(standings.table.metrics):
        ranked = [place for place in standings.places if place.cells[at].rank]
        pairs = list(itertools.combinations(range(len(ranked)), 2))
        values = [place.row.values[one.name] for place in ranked]
        corrected = holm([paired(values[a], values[b]) for a, b in pairs])
        better = np.zeros((len(ranked), len(ranked)), dtype=int)
        for (a, b), p in zip(pairs, corrected, strict=True):
            if p < 0.05:
                better[a, b] = one.direction * np.sign(values[a].mean() - values[b].mean())
                better[b, a] = -better[a, b]
            letters = [set(ranked[place].cells[at].group) for place in (a, b)]
            assert (p < 0.05) == letters[0].isdisjoint(letters[1])
        for place, row in zip(ranked, better, strict=True):
            assert place.cells[at].rank == 1 + (row < 0).sum()
            assert place.cells[at].group


def check_table(standings, known):
    """Every run of a table is of its images and protocol, and every value of the signature of its column."""
    table = standings.table
    for place in standings.places:
        label = place.row.setting.model.split(" @ ")[0]
        made = [known[run.name].made for run in place.row.runs]
        for one in made:
            assert sorted(one.pixels) == list(table.images)
            assert one.digests[label] == place.row.model.digest
            stated = (one.protocol["scale"], one.protocol["suite"], one.protocol["tile"])
            assert stated == (table.protocol.scale, table.protocol.suite, table.protocol.tile)
        assert len({tuple(sorted(one.pixels.items())) for one in made}) == 1
        for column, cell in zip(table.metrics, place.cells, strict=True):
            having = [one for one in made for own in one.metrics if own.name == column.name]
            assert (cell.text == "") == (not having)
            for one in having:
                assert column in one.metrics
                assert cell.mean == pytest.approx(np.mean(one.values[label][column.name]))


@pytest.mark.parametrize("part", range(10))
def test_random_sets_of_runs(tmp_path, part):
    decided = contradicted = joined = 0
    for number in range(part * SETS // 10, (part + 1) * SETS // 10):
        rng = random.Random(number)
        known = {f"r{place}": random_run(rng) for place in range(rng.randint(3, 8))}
        folder = tmp_path / str(number)
        paths = {write_run(folder / name, one.made).resolve(): name for name, one in known.items()}
        index = make_index(paths)
        assert not index.apart
        signatures = {}
        for standings in index.standings:
            check_table(standings, known)
            check_ranks(standings)
            contradicted += len(standings.table.contradictions)
            joined += sum(len(place.row.runs) > 1 for place in standings.places)
            decided += sum(cell.rank == 2 for place in standings.places for cell in place.cells)
            for found in standings.table.contradictions:
                assert any(found.label.split(" @ ")[0] in known[run].changed for run in found.runs)
                assert found.label not in {place.row.label for place in standings.places}
            for place in standings.places:
                for run in place.row.runs:
                    signatures.setdefault(run.name, set()).add(id(standings))
        assert all(len(tables) == 1 for tables in signatures.values())
        lost = sum(len(one.made.values) for one in known.values()) - sum(
            len(place.row.runs) for standings in index.standings for place in standings.places
        )
        assert lost >= 0
        assert (lost > 0) == any(standings.table.contradictions for standings in index.standings)
    assert decided
    assert contradicted
    assert joined


EASE = [float(number % 4) for number in range(9)]


def made(**levels):
    pixels = {image: f"A {image}" for image in IMAGES}
    return Made(
        pixels,
        {label: {"psnr": [20 + level + ease for ease in EASE]} for label, level in levels.items()},
        (metric("psnr"),),
    )


def test_a_changed_value_is_named_and_ranked_nowhere(tmp_path):
    first, second = made(a=1, b=2), made(a=1, c=3)
    second.values["a"]["psnr"][4] += 0.01
    for name, one in {"x": first, "y": replace(second, dataset="e")}.items():
        write_run(tmp_path / name, one)
    index = make_index({(tmp_path / name).resolve(): name for name in "xy"})
    [standings] = index.standings
    assert [place.row.label for place in standings.places] == ["c", "b"]
    assert standings.table.datasets == ("d", "e")
    assert [*map(str, standings.table.contradictions)] == ["a: PSNR of i5 is 21 in x and 21.01 in y"]


def test_equal_labels_of_unlike_models_name_their_runs(tmp_path):
    write_run(tmp_path / "x", made(a=1))
    write_run(tmp_path / "y", replace(made(a=2), digests={"a": "another"}))
    [standings] = make_index({(tmp_path / name).resolve(): name for name in "xy"}).standings
    assert [(place.row.label, place.cells[0].rank) for place in standings.places] == [("a @ y", 1), ("a @ x", 2)]


def test_an_order_over_datasets_counts_what_the_tests_decide(tmp_path):
    levels = {"d": {"a": 3, "b": 2, "c": 1}, "e": {"a": 2, "b": 2, "c": 1, "only": 9}}
    for name, one in levels.items():
        pixels = {image: f"{name} {image}" for image in IMAGES}
        write_run(tmp_path / name, replace(made(**one), dataset=name, pixels=pixels))
    [order] = make_index({tmp_path / name: name for name in levels}).orders
    assert [(row.label, points) for row, points in zip(order.rows, order.points, strict=True)] == [
        ("a", 3.5),
        ("b", 2.5),
        ("c", 0.0),
    ]
    assert order.ranks == [1, 2, 3]


def test_a_row_without_all_images_is_not_ranked(tmp_path):
    one = made(a=1, b=2)
    one.values["b"]["psnr"][3] = float("nan")
    write_run(tmp_path / "x", one)
    [standings] = make_index({(tmp_path / "x").resolve(): "x"}).standings
    assert [place.row.label for place in standings.places] == ["a"]
    assert standings.table.incomplete == (("b", "x", 8),)


def test_a_second_index_reads_no_records_and_tests_nothing_unless_something_changed(tmp_path, monkeypatch):
    from srbench.leaderboard import paired, summary

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, one in {"x": made(a=1, b=2), "y": made(c=3)}.items():
        write_run(tmp_path / "runs" / name, one)
    read, tested = [], []
    read_summary, rank = summary.read_summary, paired.rank
    monkeypatch.setattr(summary, "read_summary", lambda run: read.append(run.name) or read_summary(run))
    monkeypatch.setattr(paired, "rank", lambda columns, one: tested.append(one.name) or rank(columns, one))

    def texts():
        index = make_index({tmp_path / "runs" / name: name for name in "xy"})
        return [[(place.row.label, place.cells) for place in one.places] for one in index.standings]

    first = texts()
    assert (sorted(read), tested) == (["x", "y"], ["psnr"])
    assert texts() == first
    assert (len(read), len(tested)) == (2, 1)
    rows = tmp_path / "runs" / "y" / "rows.jsonl"
    rows.write_text(rows.read_text().replace("23.0", "29.0", 1))
    assert texts() != first
    assert read[2:] == ["y"]
    for file in (tmp_path / "cache").rglob("*.*"):
        file.write_bytes(b"damaged")
    texts()
    assert sorted(read[3:]) == ["x", "y"]


def test_a_run_whose_name_is_not_utf_8(tmp_path):
    write_run(
        tmp_path / os.fsdecode(b"m\xfcnchen"), Made({"a": "a"}, {"m": {"psnr": [30.0]}}, metrics=(metric("psnr"),))
    )
    assert len(write_index([tmp_path])[0].runs) == 1
