"""Equal up to rounding is equal, in both kinds of report, in compare and in its gate; and a small difference is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from builders import drawn
from record_runs import forge_sums

from srbench.images.io import read_uint8, write_png
from srbench.machine.environment import environment
from srbench.reporting.results import read_results
from srbench.reporting.tables.table import table_of_runs
from srbench.reporting.writers.compare import compare_models
from srbench.run_folder.folder import RunFolder

NAMES = [f"image {k:02}" for k in range(12)]
EASE = [20 + k % 5 for k in range(12)]


def scaled(run, factor, name=None):
    """Multiply the values of a run, or those of one metric, as another processor or another model would."""
    path = run / "rows.jsonl"
    lines = list(map(json.loads, path.read_text().splitlines()))
    for line in lines:
        if name in (None, line["metric"]):
            value = line["value"]
            line["value"] = [number * factor for number in value] if isinstance(value, list) else value * factor
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    forge_sums(run)


@pytest.fixture(scope="module")
def measured(tmp_path_factory, srbench):
    """A folder with the runs one and two of the same models, measured with one thread and with two."""
    here = tmp_path_factory.mktemp("measured")
    for number in range(8):
        write_png(here / "photos" / f"{number}.png", drawn(number, 64, 64))
    words = ("--models", "bicubic,srflow", "--scale", 8, "--data", here / "photos", "--metrics", "psnr,lpips")
    for threads, name in enumerate(("one", "two"), 1):
        torch.set_num_threads(threads)
        try:
            found = srbench("run", *words, "--workers", 1, "--samples", 2, "--out", here / name)
        finally:
            torch.set_num_threads(1)
        assert found.exit_code == 0, found.output
        environments = RunFolder.read(here / name).environments.values()
        assert {each.facts["threads"] for each in environments} == {str(threads)}
    return here


@pytest.mark.parametrize(
    ("other", "factor", "is_equal"), [("two", 1, True), ("one", 1 + 1e-7, True), ("one", 1.01, False)]
)
def test_report_compare_and_gate_give_one_verdict(measured, command, other, factor, is_equal):
    """Values of LPIPS that are 1 % higher are worse; those of another processor or number of threads are the same."""
    shutil.copytree(measured / "one", "runs/A")
    shutil.copytree(measured / other, "runs/B")
    if factor != 1:
        scaled(Path("runs/B"), factor)
    alone = command("report", "runs/A", "--out", "alone").out.partition("Page: ")[0]
    together = command("report", "runs/A", "runs/B", "--out", "both").out.partition("Page: ")[0]
    stack = command("report", "runs").out
    compared = command("compare", "runs/A", "runs/B")
    gate = command("compare", "runs/A", "runs/B", "--fail-if-worse", "psnr,lpips")
    assert compared.code == 0
    assert "ahead of bicubic" in alone
    said = {
        "report A B": "srflow @ A τ=0.85" not in together,
        "report DIR": "srflow @ A τ=0.85" not in stack,
        "compare": " is better in " not in compared.out,
        "gate": gate.code == 0,
    }
    assert said == dict.fromkeys(said, is_equal)
    if is_equal:
        assert together == alone, "a joined row has the values of the first run"
        assert compared.out.count("PSNR (RGB) and LPIPS are undecided.") == 2
    else:
        assert "srflow @ A τ=0.85 is better in LPIPS" in compared.out
        assert "B (srflow @ B τ=0.85) is significantly worse than A (srflow @ A τ=0.85) in LPIPS" in gate.out


def rows(factor, on=NAMES):
    """PSNR of a model times a factor on some images, and times 1 + 1e-7 on all others; LPIPS never differs."""
    return {name: (ease * (factor if name in on else 1 + 1e-7), 0.4) for name, ease in zip(NAMES, EASE, strict=True)}


@pytest.mark.parametrize(
    ("other", "is_better"),
    [(rows(1 + 1e-7), False), (rows(1 + 0.9e-5), False), (rows(1.001, NAMES[:1]), False), (rows(1 + 3e-5), True)],
)
def test_two_models_of_equal_values_are_equally_good(make_run, srbench, other, is_better):
    """Values that are equal up to rounding decide nothing, even beside an image on which they differ."""
    worse = {name: (psnr - 1, 0.4) for name, (psnr, _) in rows(1).items()}
    run = make_run("run", {("m", None): rows(1), ("n", None): other, ("worse", None): worse})
    results = read_results([run])
    best, psnr = table_of_runs(results).best["psnr"], compare_models(results, "m", "n").differences[0]
    assert best.rows == ([1] if is_better else [0, 1])
    assert (best.p(0, 1) < 0.05) == is_better == (psnr.p < 0.05)
    assert psnr.better == -is_better
    assert srbench("compare", "n", "m", "--run", run, "--fail-if-worse", "psnr").exit_code == is_better


def test_the_first_of_equal_rows_leads(make_run):
    """Whichever is higher by rounding."""
    for factor in (1 - 1e-9, 1 + 1e-9):
        run = make_run("run", {("m", None): rows(1), ("n", None): rows(factor)})
        assert table_of_runs(read_results([run])).best["psnr"].leader == 0


def test_equal_models_have_no_strip_of_where_they_differ(make_run, command):
    """Neither on the pages of a run and of a folder of runs, nor beside a comparison."""
    for factor, is_shown in ((1 + 1e-7, False), (1.01, True)):
        other = {name: (psnr, lpips * factor) for name, (psnr, lpips) in rows(1).items()}
        run = make_run("x/run", {("m", None): rows(1), ("n", None): other})
        for folder in (run, run.parent):
            assert command("report", folder, "--format", "html").code == 0
        assert ('"opening":null' not in (run / "report/report.html").read_text()) == is_shown
        assert ('<figure class="strip"' in (run.parent / "report/report.html").read_text()) == is_shown
        assert command("compare", "m", "n", "--run", run).code == 0
        assert len([*run.glob("compare/m/n/*.png")]) == 4 * is_shown


def test_the_strip_of_equal_outputs_shows_where_they_differ_from_hr(tmp_path, small_models, command):
    """And not the upper left corner."""
    hr = drawn(0, 160, 160)
    hr[:, :, :] = 90
    hr[:, 80:, 80:] = drawn(1, 80, 80)
    write_png(tmp_path / "photos" / "a.png", hr)
    words = ("--models", f"one={small_models}:Nearest,two={small_models}:Nearest", "--metrics", "psnr")
    assert command("run", *words, "--scale", 4, "--data", tmp_path / "photos", "--out", "run").code == 0
    strip = read_uint8(tmp_path / "run/report/strips/a.png")
    detail = strip[:, 10:200, -200:-10]
    assert (detail != 90).any(dim=0).float().mean() > 0.5


def test_wins_are_of_images_that_differ(make_run):
    psnr = compare_models(
        read_results([make_run("run", {("m", None): rows(1), ("n", None): rows(1.001, NAMES[:3])})]), "m", "n"
    ).differences[0]
    assert psnr.outcomes == (0, 9, 3)


@pytest.mark.parametrize(
    ("samples", "joined"), [([20.0, 24.0], True), ([20.0 + 1e-6, 24.0], True), ([24.0, 20.0], False)]
)
def test_samples_are_equal_one_by_one(make_run, command, samples, joined):
    """In both kinds of report: a mean of other samples is no equal value."""
    for place, found in {"x/A": [20.0, 24.0], "x/B": samples}.items():
        make_run(place, {("flow", 0.8): {name: (found, [0.4, 0.4]) for name in NAMES}})
    for folders in (["x/A", "x/B"], ["x"]):
        found = command("report", *folders, "--out", "out")
        assert (found.code, "flow @ " in found.out) == (0, not joined)


def test_fid_and_kid_are_equal_up_to_a_thousandth(command, models, photos, small_inception, monkeypatch):
    """In reports and, of another machine, in verify; of two runs that agree, the values of the first are shown."""
    words = ("--models", f"{models}:Nearest", "--scale", 4, "--data", photos, "--metrics", "psnr,fid,kid")
    assert command("run", *words, "--out", "x/A").code == 0
    for name, factor, is_equal in (
        ("fid", 1.0005, True),
        ("fid", 1.01, False),
        ("kid", 1.0005, True),
        ("kid", 1.01, False),
    ):
        shutil.copytree("x/A", "x/B")
        scaled(Path("x/B"), factor, name)
        for folders in (["x/A", "x/B"], ["x/B", "x/A"], ["x"]):
            found = command("report", *folders, "--out", "out")
            assert ("Nearest @ " in found.out) != is_equal, (name, factor)
        assert "contradicted (value-differs)" in command("verify", "x/B").out
        with monkeypatch.context() as patch:
            patch.setattr(
                "srbench.verification.samples.environment", lambda device: environment(device) | {"cpu": "6502"}
            )
            assert ("nothing contradicted" in command("verify", "x/B").out) == is_equal
        if is_equal:
            results = read_results([Path("x/B"), Path("x/A")])
            shown, own = (
                {key: value for key, value in each.values.of.items() if key[1] == name}
                for each in (results, read_results([Path("x/B")]))
            )
            assert shown == own
        shutil.rmtree("x/B")
