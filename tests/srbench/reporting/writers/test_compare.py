from __future__ import annotations

import io
import math
import re
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
from builders import metric
from PIL import Image
from rich.console import Console

from srbench.judging.sign_flips import mean_interval, p_values
from srbench.judging.verdicts import Difference, difference_of
from srbench.reporting import ReportError
from srbench.reporting.results import read_results
from srbench.reporting.tables.summary import summary
from srbench.reporting.tables.table import table_of_runs
from srbench.reporting.writers.compare import (
    compare_models,
    compare_runs,
    terminal_table,
    write_comparison,
)
from srbench.run_folder.values import Values
from srbench.terminal import output as terminal

NAMES = [f"image {k:02}" for k in range(12)]
RANDOM = np.random.default_rng(0)
EASE = RANDOM.normal(25, 4, 12)
NOISE = RANDOM.normal(0, 0.05, 12)


def values(psnr=0.0, lpips=0.0, samples=1):
    """Better by so much on every image; LPIPS with a noise of its own, larger than the difference."""
    found = {}
    for k, name in enumerate(NAMES):
        pair = float(EASE[k] + psnr), float(0.4 + lpips + NOISE[k] * (1 if psnr else 0))
        found[name] = pair if samples == 1 else ([pair[0] - 1, pair[0] + 1], [pair[1]] * 2)
    return found


@pytest.fixture
def run(make_run):
    return make_run("run", {("m", None): values(), ("flow", 0.5): values(2, 0.01, 2), ("flow", 0.9): values(-1, 0, 2)})


def test_differences_by_hand(run):
    comparison = compare_models(read_results([run]), "flow-t0.5", "m")
    psnr, lpips = comparison.differences
    assert comparison.labels == ("flow τ=0.5", "m")
    assert (psnr.mean, psnr.low, psnr.high) == pytest.approx((2, 2, 2))
    assert (psnr.mean_a - psnr.mean_b, psnr.outcomes) == (pytest.approx(2), (12, 0, 0))
    assert psnr.p == pytest.approx(2 / 2**12), "all twelve have one sign"
    differences = list(0.01 + NOISE)
    assert lpips.mean == pytest.approx(np.mean(differences))
    assert (lpips.low, lpips.high) == pytest.approx(mean_interval(differences), abs=1e-4)
    assert lpips.p == pytest.approx(p_values(np.array(differences)[:, None])[0])
    assert lpips.outcomes == (sum(d < 0 for d in differences), 0, sum(d > 0 for d in differences)), "lower is better"
    assert (comparison.verdict(psnr), comparison.verdict(lpips)) == ("flow τ=0.5", "undecided")
    assert (psnr.better, lpips.better) == (1, 0)


def test_the_other_way_round_is_the_opposite(run):
    there, back = (
        compare_models(read_results([run]), "flow-t0.9", "m"),
        compare_models(read_results([run]), "m", "flow-t0.9"),
    )
    for one, other in zip(there.differences, back.differences, strict=True):
        assert one.mean == pytest.approx(-other.mean)
        assert one.outcomes == other.outcomes[::-1]
        assert one.better == -other.better
    assert there.differences[0].better == -1


def test_equal_values_are_ties(make_run):
    run = make_run("run", {("m", None): values(), ("n", None): values()})
    comparison = compare_models(read_results([run]), "m", "n")
    assert {(found.mean, found.p, found.outcomes, found.better) for found in comparison.differences} == {
        (0, 1, (0, 12, 0), 0)
    }


@pytest.mark.parametrize("direction", [0, -1])
def test_a_metric_of_the_model_is_a_single_value_that_permits_no_test(make_run, srbench, direction):
    size = metric("size", title="size", per="model", direction=direction)
    own = {("m", None): 3.0, ("n", None): 5.0}
    of_images = {setting: {name: {"size": value} for name in NAMES} for setting, value in own.items()}
    run = make_run("run", of_images, metrics=(size,))
    found = srbench("compare", "m", "n", "--run", run)
    assert found.exit_code == 0, found.output
    [line] = [line for line in found.output.splitlines() if line.split()[:1] == ["size"]]
    assert "-2.00" in line
    assert "0.00" not in line.replace("-2.00", "").replace("3.00", "").replace("5.00", ""), "neither p nor interval"
    assert "size: a value of the model or of all images together" in found.output
    assert "No metric of the two permits a verdict." in found.output
    table = table_of_runs(read_results([run]))
    assert not any(line.cells["size"].is_best for line in table.lines)
    assert not any("better" in sentence for sentence in summary(table))


def test_values_that_are_not_finite_are_left_out_and_said(make_run, srbench):
    odd = values(2) | {NAMES[0]: (math.inf, 0.1), NAMES[1]: (-99.0, math.nan)}
    run = make_run("run", {("m", None): values(), ("n", None): odd})
    comparison = compare_models(read_results([run]), "n", "m")
    psnr, lpips = comparison.differences
    assert (psnr.units.left_out, len(psnr.by_image), sum(psnr.outcomes)) == ((NAMES[0],), 11, 11)
    assert (lpips.units.left_out, len(lpips.by_image)) == ((NAMES[1],), 11)
    assert srbench("compare", "n", "m", "--run", run).exit_code == 0
    text = (run / "compare" / "n" / "m" / "compare.md").read_text()
    assert "> Left out, as A or B has no finite value: PSNR 1, LPIPS 1.\n" in text


def test_what_is_written_and_shown(run, srbench, snapshot):
    """The verdict leads; images are those that differ most in LPIPS; the last table has the best of A first."""
    found = srbench("compare", "flow-t0.5", "m", "--run", run)
    assert found.exit_code == 0, found.output
    folder = run / "compare" / "flow-t0.5" / "m"
    shown, _, last = found.output.rstrip().rpartition("\n")
    assert last == str(folder / "compare.md")
    text = (folder / "compare.md").read_text()
    assert {"terminal": shown, "compare.md": text} == snapshot
    largest = sorted(range(12), key=lambda k: -abs(0.01 + NOISE[k]))[:4]
    assert re.findall(r"!\[(.*)\]", text) == [NAMES[k] for k in largest], "largest in LPIPS"
    assert sorted(path.stem for path in folder.glob("*.png")) == sorted(NAMES[k] for k in largest)
    with Image.open(folder / f"{NAMES[largest[0]]}.png") as strip:
        row = [(int(level), len([*run])) for level, run in groupby(np.asarray(strip)[20, :, 0])]
    levels = [level for level, _ in groupby(level for level, length in row if level != 255 and length > 9)]
    assert levels[:4] == [20, 70, 71, 40], "LR, two samples of A, B"


def test_the_verdict_is_beside_the_means_in_a_narrow_terminal(run, monkeypatch):
    width = 60
    screen = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    monkeypatch.setattr(terminal, "STDOUT", screen)
    terminal.show(terminal_table(compare_models(read_results([run]), "flow-t0.5", "m")))
    lines = screen.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert re.fullmatch(r" PSNR ↑ +\S+ +\S+ +2\.00 +flow τ=0\.5 .*", next(line for line in lines if "PSNR" in line))
    for header in "metric", "A - B", "verdict", "interval", "p", "wins", "ties", "losses", "n":
        assert any(re.search(rf"(^| ){re.escape(header)}( |$)", line) for line in lines), header


def test_a_comparison_computes_its_differences_once_for_any_number_of_images(make_run, monkeypatch):
    computed = []
    gains = Difference.gains.fget
    monkeypatch.setattr(Difference, "gains", property(lambda self: computed.append(self.metric.name) or gains(self)))
    times = []
    for count in (6, 12):
        values = [{f"{image:02}": (20.0 + image + side, 0.5) for image in range(count)} for side in (0, 1)]
        run = make_run(str(count), dict(zip([("a", None), ("b", None)], values, strict=True)))
        computed.clear()
        write_comparison(compare_models(read_results([run]), "a", "b"))
        times.append(len(computed))
    assert times[0] == times[1] < 6


def test_names_with_hyphens_have_folders_of_their_own(make_run):
    run = make_run("run", {(name, None): values(place) for place, name in enumerate(["a-b", "c", "a", "b-c"])})
    first, second = (
        write_comparison(compare_models(read_results([run]), *names)) for names in (("a-b", "c"), ("a", "b-c"))
    )
    assert first != second
    assert first.read_text().startswith("# a-b against c\n")
    assert second.read_text().startswith("# a against b-c\n")


def test_two_runs(make_run):
    one = make_run("one", {("m", None): values(), ("flow", 0.5): values(1, 0, 2)})
    other = make_run("two", {("flow", 0.5): values(0.5, 0, 2), ("x", None): values()})
    (comparison,) = compare_runs(one, other)
    assert comparison.labels == ("flow @ one τ=0.5", "flow @ two τ=0.5")
    assert comparison.differences[0].mean == pytest.approx(0.5)
    before = sorted(one.rglob("*"))
    *_, a, b, _ = write_comparison(comparison).relative_to(other / "compare").parts
    assert (a, b) == ("flow-t0.5", "flow-t0.5"), "as in their runs"
    assert sorted(one.rglob("*")) == before, "the reference stays as it is"
    third = make_run("three", {("y", None): values(-1)})
    alone = make_run("four", {("m", None): values()})
    (comparison,) = compare_runs(third, alone)
    assert comparison.labels == ("y", "m")
    assert comparison.differences[0].better == -1


def test_every_pair_of_runs_has_its_own_folder(make_run, tmp_path):
    """Also with equal labels, and with equal names in other folders."""
    one = make_run("one", {("y", None): values(-1)})
    (tmp_path / "elsewhere").mkdir()
    others = [make_run("two", {("m", None): values()}).rename(tmp_path / "elsewhere" / "two")]
    others += [make_run(name, {("m", None): values(gain)}) for gain, name in enumerate(("two", "three"), 1)]
    written = [write_comparison(*compare_runs(other, one)) for other in others]
    texts = [file.read_text() for file in written]
    assert len(set(texts)) == 3
    assert [write_comparison(*compare_runs(other, one)) for other in others] == written, "again in the same place"
    assert [file.read_text() for file in written] == texts


def test_p_is_that_of_a_report_of_two_rows(make_run):
    """Twenty images, in another order than that of their names."""
    random = np.random.default_rng(5)
    found = {f"image {k}": (float(random.normal(25, 3)), 0.4) for k in range(20)}
    other = {name: (psnr + float(random.normal(0.1, 0.3)), 0.4) for name, (psnr, _) in found.items()}
    run = make_run("run", {("m", None): found, ("n", None): other})
    psnr = compare_models(read_results([run]), "n", "m").differences[0]
    best = table_of_runs(read_results([run])).best["psnr"]
    assert {psnr.p} == {*best.pairs.values()}
    assert (psnr.low > 0 or psnr.high < 0) == (psnr.p < 0.05)


def test_rows_of_unlike_images_are_compared_on_those_that_both_have(make_run, srbench):
    some = dict(list(values(2).items())[:8])
    run = make_run("run", {("m", None): values(), ("n", None): some, ("o", None): {NAMES[9]: (20.0, 0.1)}})
    comparison = compare_models(read_results([run]), "n", "m")
    psnr = comparison.differences[0]
    assert (psnr.mean_b, psnr.mean, len(psnr.by_image)) == (pytest.approx(EASE[:8].mean()), pytest.approx(2), 8)
    assert comparison.sentence == "On the 8 images that both have, n is better in PSNR; LPIPS is undecided."
    found = srbench("compare", "n", "o", "--run", run)
    assert found.exit_code == 1
    assert found.output == f"srbench: {run}: n and o have no image in common; measure both on the same images\n"


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["m", "flow", "--run", "{run}"], "flow has several temperatures in {run}; choose from flow-t0.5, flow-t0.9"),
        (["m", "flo-t0.5", "--run", "{run}"], "{run}: unknown model 'flo-t0.5'; did you mean flow-t0.5? available: "),
        (["m", "m", "--run", "{run}"], "m and m are the same rows of {run}; name two models"),
        (["m", "flow"], "m: no such folder; to compare two models of one run, name it: --run RUN"),
        (["{run}", "{run}"], "{run} and {run} are one run; name two models of it"),
    ],
)
def test_what_cannot_be_compared(run, srbench, arguments, fault):
    found = srbench("compare", *(word.format(run=run) for word in arguments))
    assert found.exit_code == 1
    assert found.output.startswith(f"srbench: {fault.format(run=run)}")
    assert found.output.count("\n") == 1


def test_nothing_in_common(make_run):
    runs = [make_run(name, {(f"{name}1", None): values(), (f"{name}2", None): values()}) for name in ("a", "b")]
    with pytest.raises(ReportError, match="no model is in both runs: a1, a2 against b1, b2"):
        compare_runs(*runs)


@pytest.mark.parametrize(("p", "better"), [(0.0499, 1), (0.05, 0)])
def test_p_of_exactly_5_percent_decides_nothing(p, better):
    rows = ({name: number + k for k, name in enumerate(NAMES)} for number in (1.0, 0.0))
    assert replace(difference_of(*rows, metric("psnr"), Values({}, {})), p=p).better == better


def test_an_image_that_one_run_lacks_is_no_tie(make_run, srbench):
    """Equal rows of two runs are one row of a table, which has the values of both; a comparison has them apart."""
    whole = values()
    a = make_run("a", {("m", None): whole})
    b = make_run("b", {("m", None): whole | dict.fromkeys(NAMES[:2], "out of memory")})
    [comparison] = compare_runs(a, b)
    psnr = comparison.differences[0]
    assert (psnr.n, psnr.outcomes, psnr.lacking) == (10, (0, 10, 0), tuple(NAMES[:2]))
    assert "On the 10 images that both have, PSNR and LPIPS are undecided." in srbench("compare", a, b).output
    gate = srbench("compare", a, b, "--fail-if-worse", "psnr")
    assert (gate.exit_code, "no finite PSNR on 2 images" in gate.stderr) == (1, True)


def test_p_of_two_rows_and_p_of_all_rows_stand_side_by_side(make_run, srbench):
    """Two rows alone differ, p = .039; beside six rows that scatter, they do not, and the report has no mark."""
    gains = np.array([-1, -1, -1, -1, -1, -1, -1, -1, -0.2, 0.9, 0.9, 0.1]) / 10
    random = np.random.default_rng(5)
    rows = {("m", None): [0.0] * 12, ("n", None): gains} | {
        (f"other{k}", None): random.normal(-0.1, 0.2, 12) for k in range(6)
    }
    run = make_run(
        "run", {row: dict(zip(NAMES, [(25.0 + float(g), 0.4) for g in own], strict=True)) for row, own in rows.items()}
    )
    psnr = compare_models(read_results([run]), "m", "n").differences[0]
    best = table_of_runs(read_results([run])).best["psnr"]
    assert psnr.p < 0.05 < psnr.p_adjusted == best.p(0, 1)
    found = srbench("compare", "m", "n", "--run", run)
    assert "of these two rows alone" in found.output
    assert "adjusted for all rows; the report marks no difference" in " ".join(found.output.split())
    gate = srbench("compare", "m", "n", "--run", run, "--fail-if-worse", "psnr")
    assert (gate.exit_code, "adjusted for all rows" in gate.stdout.splitlines()[-1]) == (1, True)
