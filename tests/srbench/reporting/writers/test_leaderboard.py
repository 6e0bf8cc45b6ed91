"""The leaderboard of many runs: what shares a table, what is bold, what is left out, its files, verify,
and the page."""

from __future__ import annotations

import csv
import html
import json
import os
import random
import re
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import drawn, metric
from record_runs import Made, forge_list, write_run

from srbench.files.hashes import sha256_file
from srbench.images.io import write_png
from srbench.reporting.figures.first_view import strip_of_run
from srbench.reporting.generated_folder import Choices, read_listing, replacing
from srbench.reporting.results import read_results
from srbench.reporting.tables.table import table_of_runs
from srbench.reporting.writers.leaderboard import read_leaderboard, renew, write_leaderboard
from srbench.reporting.writers.report import FORMATS

IMAGES = tuple(f"i{number}" for number in range(9))
EASE = [float(number % 4) for number in range(9)]
SIGNATURES = {"psnr": ("PSNR|RGB|v1", "PSNR|Y|v1"), "lpips": ("LPIPS|alex|v1", "LPIPS|vgg|v1"), "ssim": ("SSIM|v1",)}
EVIL = "<script>alert(1)<:script>&"


def made(**levels):
    """A run of models whose PSNR differs by these levels on every image."""
    values = {label: {"psnr": [20 + level + ease for ease in EASE]} for label, level in levels.items()}
    return Made({image: f"pixels of {image}" for image in IMAGES}, values, (metric("psnr"),))


def blocks_below(folder):
    return read_leaderboard([folder]).blocks


def runs_of(block):
    """Names of the runs of every line, by its label."""
    return {line.label: [run.name for run in block.runs(line)] for line in block.table.lines}


def random_run(rng):
    """A run of random images, protocol, metrics and models; equal models give equal values for equal images."""
    source = rng.choice("AAB")
    pixels = {image: f"{source} {image}" for image in IMAGES[: rng.choice((9, 9, 8))]}
    names = rng.sample(sorted(SIGNATURES), rng.randint(1, 3))
    metrics = tuple(metric(name, signature=rng.choice(SIGNATURES[name])) for name in names)
    digests = {label: f"{label} {rng.choice('aab')}" for label in rng.sample(("m1", "m2", "m3"), rng.randint(1, 3))}
    values = {
        label: {
            one.name: [random.Random(f"{digest} {one.signature} {pixel}").gauss(20, 1) for pixel in pixels.values()]
            for one in metrics
        }
        for label, digest in digests.items()
    }
    protocol = {
        "scale": rng.choice((4, 4, 8)),
        "suite": rng.choice(("s@1", "s@1", "t@1")),
        "tile": rng.choice((None, 32)),
    }
    return Made(pixels, values, metrics, rng.choice("de"), protocol, digests)


def test_no_value_stands_beside_one_of_other_images_protocol_or_signature(tmp_path):
    merged = 0
    for number in range(10):
        rng = random.Random(number)
        known = {f"r{place}": random_run(rng) for place in range(8)}
        for name, run in known.items():
            write_run(tmp_path / str(number) / name, run)
        shown = []
        for block in blocks_below(tmp_path / str(number)):
            pixels = {tuple(sorted(known[run.name].pixels.items())) for run in block.results.runs}
            assert len(pixels) == 1
            for line in block.table.lines:
                runs = block.runs(line)
                merged += len(runs) > 1
                label = line.setting.model.partition(" @ ")[0]
                for run in runs:
                    stated = known[run.name].protocol
                    assert stated == {name: getattr(block.results.protocol, name) for name in stated}
                    shown.append((run.name, label))
                assert len({known[run.name].digests[label] for run in runs}) == 1
                for column in block.table.columns:
                    name, cell = column.name.partition(" ")[0], line.cells[column.name]
                    having = [
                        known[run.name]
                        for run in runs
                        if (name, column.signature) in {(one.name, one.signature) for one in known[run.name].metrics}
                    ]
                    assert (cell.text != "–") == bool(having)
                    for run in having:
                        assert cell.mean == pytest.approx(np.mean(run.values[label][name]))
        assert sorted(shown) == sorted((name, label) for name, run in known.items() for label in run.values)
    assert merged


def test_bold_is_best_or_not_significantly_worse(tmp_path):
    run = made(a=3, b=2, c=3)
    for place in range(0, 9, 2):
        run.values["c"]["psnr"][place] -= 0.5  # c is worse than a on five images and equal on four
    write_run(tmp_path / "x", run)
    [block] = blocks_below(tmp_path)
    assert [(line.label, line.cells["psnr"].is_best) for line in block.table.lines] == [
        ("a", True),
        ("c", True),
        ("b", False),
    ]


def test_rows_are_sorted_by_the_first_metric(tmp_path):
    """The best first, equal rows by their labels, and last those without a value."""
    first, second = made(m10=1, m9=1, best=2), made(last=0)
    second.values["other"] = {"ssim": [0.5] * len(IMAGES)}
    for name, run in {"x": first, "y": replace(second, metrics=(metric("ssim"), metric("psnr")))}.items():
        write_run(tmp_path / name, replace(run, protocol={"columns": ("psnr", "ssim")}))
    [block] = blocks_below(tmp_path)
    assert block.table.columns[0].name == "psnr"
    assert [line.label for line in block.table.models] == ["best", "m9", "m10", "last", "other"]


def test_a_row_names_all_its_runs_and_all_names_of_its_model(tmp_path, command):
    for run, label in {"x": "mine", "y": "srflow", "z": "mine"}.items():
        write_run(tmp_path / "m" / run, replace(made(**{label: 1}), digests={label: "one"}))
    assert command("report", tmp_path / "m").code == 0
    assert {(line["model"], line["runs"]) for line in means(tmp_path / "m/report")} == {("mine = srflow", "x y z")}
    text = (tmp_path / "m/report/report.md").read_text()
    assert re.search(r"^\| d +\| 4x +\| mine = srflow \|.*\| +x, y, z \|$", text, re.MULTILINE)


def test_the_title_says_what_on_which_images(tmp_path):
    for place, (dataset, scale, title) in enumerate(
        [
            ("d", 8, "Super-resolution 8x on d, 9 images"),
            ("d", 4, "Super-resolution 4x and 8x on d, 9 images"),
            ("e", 1, "Super-resolution 4x and 8x and restoration on d and e"),
            ("f", 8, "Super-resolution 4x and 8x and restoration on d, e and f"),
            ("g", 8, "Super-resolution 4x and 8x and restoration on 4 datasets"),
        ]
    ):
        pixels = {image: f"{dataset} {image}" for image in IMAGES}
        run = replace(made(a=1), pixels=pixels, dataset=dataset, protocol={"scale": scale})
        write_run(tmp_path / str(place), run)
        assert read_leaderboard([tmp_path]).title() == title


def test_a_model_is_one_line_unless_its_values_differ(tmp_path):
    first, second, third = made(a=1, b=2), replace(made(a=1, c=3), dataset="e"), made(a=1)
    third.values["a"]["psnr"][4] += 0.01
    for name, run in {"x": first, "y": second, "z": third}.items():
        write_run(tmp_path / name, run)
    [block] = blocks_below(tmp_path)
    assert block.dataset == "d = e"
    assert runs_of(block) == {"a @ x": ["x", "y"], "b": ["x"], "c": ["y"], "a @ z": ["z"]}


def test_the_values_of_a_joint_line_are_those_of_the_verified_run(tmp_path):
    """Up to rounding the runs agree; a metric that it lacks comes from another run."""
    first, second = made(a=1), made(a=1)
    second.values["a"]["psnr"][0] += 1e-5
    second.values["a"]["ssim"] = [0.5] * len(IMAGES)
    write_run(tmp_path / "x", first)
    write_verified(write_run(tmp_path / "y", replace(second, metrics=(metric("psnr"), metric("ssim")))), "proven", 9)
    [block] = blocks_below(tmp_path)
    [line] = block.table.lines
    assert runs_of(block) == {"a": ["y", "x"]}
    assert line.cells["psnr"].mean == pytest.approx(np.mean(second.values["a"]["psnr"]), abs=1e-12)
    shutil.rmtree(tmp_path / "y")
    write_run(tmp_path / "y", replace(second, values={"a": {"ssim": [0.5] * 9}}, metrics=(metric("ssim"),)))
    [block] = blocks_below(tmp_path)
    [line] = block.table.lines
    assert (line.cells["psnr"].mean, line.cells["ssim"].mean) == (np.mean(first.values["a"]["psnr"]), 0.5)


def test_no_value_of_an_unverified_run_stands_in_a_verified_row(tmp_path, command):
    """A metric that only the unverified run has is a dash, and no line of the CSV."""
    proven, other = made(a=1), made(a=1)
    other.values["a"]["ssim"] = [0.5] * len(IMAGES)
    write_verified(write_run(tmp_path / "m/proven", proven), "proven", 9)
    write_run(tmp_path / "m/other", replace(other, metrics=(metric("psnr"), metric("ssim"))))
    [block] = blocks_below(tmp_path / "m")
    [line] = block.table.lines
    assert runs_of(block) == {"a": ["proven", "other"]}
    assert (line.cells["psnr"].text, line.cells["ssim"].text, line.not_finite) == ("22.33", "–", 0)
    assert command("report", tmp_path / "m").code == 0
    assert [(mean["metric"], mean["state"]) for mean in means(tmp_path / "m/report")] == [("psnr", "proven")]


def test_equal_labels_of_unlike_models_name_their_runs(tmp_path):
    write_run(tmp_path / "x", made(a=1))
    write_run(tmp_path / "y", replace(made(a=2), digests={"a": "another"}))
    [block] = blocks_below(tmp_path)
    assert [*runs_of(block)] == ["a @ y", "a @ x"]


def test_a_model_whose_code_changed_is_one_line_if_all_pixels_are_equal(tmp_path):
    old, new = replace(made(a=1), outputs="same"), replace(made(a=1), outputs="same", digests={"a": "new"})
    write_run(tmp_path / "x", old)
    write_run(tmp_path / "y", new)
    write_run(tmp_path / "y2", replace(new, outputs="the same but for rounding on another machine"))
    write_run(tmp_path / "z", replace(new, outputs="others", digests={"a": "newer"}))
    [block] = blocks_below(tmp_path)
    assert [*runs_of(block).values()] == [["x", "y", "y2"], ["z"]]


def test_results_made_elsewhere_are_one_line_only_if_their_files_are_equal(tmp_path):
    """The digest of a folder of results is that of any other."""
    for name, (metric_name, source) in {"x": ("psnr", "1"), "y": ("ssim", "2"), "z": ("lpips", "1")}.items():
        run = made(theirs=1)
        run = replace(
            run, values={"theirs": {metric_name: run.values["theirs"]["psnr"]}}, metrics=(metric(metric_name),)
        )
        write_run(tmp_path / name, replace(run, source=source))
    [block] = blocks_below(tmp_path)
    assert [*runs_of(block).values()] == [["x", "z"], ["y"]]


@pytest.mark.parametrize("alone", [5, 10, 2])
def test_a_column_has_one_signature_and_every_signature_one_column(tmp_path, command, alone):
    """Of a metric that depends on the number of samples, in a table with two of them and in one with one."""
    for place, samples in {"x/a": 10, "x/b": 5, "y/c": alone}.items():
        run = made(**{place[-1]: samples})
        run.values[place[-1]]["spread"] = [float(samples)] * len(IMAGES)
        pixels = {image: f"{place[0]} {image}" for image in IMAGES}
        spread = metric("spread", title="Spread", signature=f"SPREAD|RGB|v1|n{samples}")
        write_run(tmp_path / place, replace(run, pixels=pixels, dataset=place[0], metrics=(metric("psnr"), spread)))
    [tables] = read_leaderboard([tmp_path]).protocols
    counts = sorted({10, 5, alone}, reverse=True)
    shown = {column.title: column.signature for column in tables.columns}
    assert shown == {"PSNR": "PSNR|RGB"} | {f"Spread n{count}": f"SPREAD|RGB|v1|n{count}" for count in counts}
    cells = {
        line.label: {
            column.title: cell.text for column, cell in zip(tables.columns, tables.cells(block, line), strict=True)
        }
        for block in tables.blocks
        for line in block.table.lines
    }
    for model, samples in {"a": 10, "b": 5, "c": alone}.items():
        expected = {f"Spread n{count}": f"{count}.00" if count == samples else "–" for count in counts}
        assert {title: text for title, text in cells[model].items() if title != "PSNR"} == expected
    assert command("report", tmp_path).code == 0
    assert {line["metric"] for line in means(tmp_path / "report")} == {"psnr", "spread"}, "as in the runs"


def test_a_metric_of_groups_that_lacks_one_is_a_dash(make_run, tmp_path):
    """As one that lacks an image is: a mean of the other groups would stand beside means of all."""
    names = [f"{group}{frame}" for group in "pq" for frame in (0, 1)]
    values = {name: {"psnr": [20.0], "tlp": 1.0 + ord(name[0]) - ord("p")} for name in names}
    lacking = values | {name: {"psnr": [21.0]} for name in names[2:]}
    make_run(
        "m/run",
        {("whole", None): values, ("lacking", None): lacking},
        metrics=(metric("psnr"), metric("tlp", direction=-1, per="group")),
        groups={name: name[0] for name in names},
    )
    [block] = blocks_below(tmp_path / "m")
    assert {line.label: line.cells["tlp"].text for line in block.table.lines} == {"whole": "1.50", "lacking": "–"}


def test_costs_are_no_columns(tmp_path):
    run = made(a=1)
    run.values["a"]["runtime"] = [0.1] * len(IMAGES)
    write_run(tmp_path / "x", replace(run, metrics=(metric("psnr"), metric("runtime", group="Cost"))))
    [block] = blocks_below(tmp_path)
    assert [column.name for column in block.table.columns] == ["psnr"]


def test_blocks_of_equal_datasets_and_scales_have_different_names(tmp_path):
    """By what differs between them: degradation, crop, tiles, number of images, or else the run."""
    lr = "made from HR by bicubic-opencv@1: downscale by bicubic"
    for name, changes in {
        "plain": {},
        "degraded": {"protocol": {"lr": lr}, "pixels": {image: f"degraded {image}" for image in IMAGES}},
        "cropped": {"protocol": {"crop": 64}, "pixels": {image: f"cropped {image}" for image in IMAGES}},
        "fewer": {"pixels": {"i0": "pixels of i0"}, "values": {"a": {"psnr": [20.0]}}},
        "other": {"pixels": {image: f"other {image}" for image in IMAGES}},
    }.items():
        write_run(tmp_path / name, replace(made(a=1), **changes))
    names = {block.results.runs[0].name: block.dataset for block in blocks_below(tmp_path)}
    assert names == {
        "plain": "d, 9 images, plain",
        "degraded": "d, bicubic-opencv",
        "cropped": "d, central 64 px",
        "fewer": "d, 1 image",
        "other": "d, 9 images, other",
    }


def write_verified(run, verdict, verified):
    """Forge the result of a check, as anybody can."""
    facts = {"sums": sha256_file(run / "SHA256SUMS"), "date": "2026-01-31T12:00:00", "srbench": "0.1"}
    facts |= {"verdict": verdict, "verified": verified, "unverified": 0, "contradicted": 9 - verified}
    rules = {"contradicted": {"value-differs": 9}, "unverified": {"not-measured": 2}}.get(verdict, {})
    facts |= {"sampled": 0, "items": 9, "rules": rules, "tried": 0}
    (run / "verified.json").write_text(json.dumps(facts))


@pytest.fixture
def site(tmp_path):
    """Runs of every state, one of them with hostile names, and what is no run."""
    runs = tmp_path / "runs"
    hostile = replace(made(**{"b": 2, "<b>": 1}), dataset="<i>d</i>", protocol={"scale": 8})
    for name, run in {
        "good": made(a=1),
        "edited": made(a=2),
        "wrong": made(a=3),
        "torn": made(a=4),
        EVIL: hostile,
    }.items():
        write_run(runs / name, run)
    write_run(runs / "below" / os.fsdecode(b"m\xfcnchen"), made(c=0))
    write_run(runs / ".hidden", made(d=0))
    lacking = made(a=1, b=2)
    del lacking.values["b"]["psnr"]
    write_run(runs / "lacking", lacking)
    for name, verdict in {"good": "proven", "lacking": "unverified", "wrong": "contradicted"}.items():
        write_verified(runs / name, verdict, 0 if verdict == "contradicted" else 9)
    rows = runs / "edited" / "rows.jsonl"
    rows.write_text(rows.read_text().replace("22.0", "29.0", 1))
    (runs / "torn" / "manifest.json").write_text("{")
    (runs / "app").mkdir()
    (runs / "app" / "manifest.json").write_text('{"name": "an app"}')
    (runs / "bare").mkdir()
    (runs / "bare" / "rows.jsonl").write_text("{}\n")
    (runs / "notes").mkdir()
    return runs


def means(folder):
    with (folder / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_states_and_what_is_left_out(site, command):
    done = command("report", site, "--out", "out")
    assert done.code == 1
    assert done.err.splitlines()[-1].startswith("srbench: app: manifest.json: has format None")
    left_out = dict(re.findall(r"^left out: (\S+?)(?:, b)?: (.*)$", done.out, re.MULTILINE))
    assert {*left_out} == {"edited", "wrong", "torn", "app", "bare", "lacking"}
    assert left_out["edited"] == "contradicted, rows.jsonl does not match SHA256SUMS"
    assert left_out["wrong"] == "contradicted, 2026-01-31: 0 of 9 values and 0 of 9 items; value-differs"
    assert left_out["lacking"] == "not measured on all of 9 images"
    lines = means(Path("out"))
    assert {(line["model"], line["state"], line["runs"], line["mean"]) for line in lines if line["scale"] == "4"} == {
        ("a", "proven", "good lacking", str(np.mean([21 + ease for ease in EASE]))),
        ("c", "unverified", "below/m\\udcfcnchen", str(np.mean([20 + ease for ease in EASE]))),
    }
    for name in "report.md", "report.html":
        text = Path("out", name).read_text()
        assert all(name in text for name in left_out)
        assert "Left out" in text
        assert "lacking" in text.partition("unverified, 2026-01-31: 9 of 9 values and 0 of 9 items; not-measured")[0]
    runs = re.findall(r'<span class="run">(?:<a[^>]*>)?([^<]+)(?:</a>)?( <small>.*?</small>)?</span>', text)
    assert {*runs} >= {
        ("good", " <small>proven</small>"),
        ("lacking", " <small>unverified</small>"),
        ("below/m\\udcfcnchen", ""),
    }, "checked and unverified, or not checked"


def test_at_scale_one_models_restore(tmp_path, command):
    for name, scales in {"one": [1], "both": [1, 4]}.items():
        for scale in scales:
            write_run(tmp_path / name / str(scale), replace(made(a=1, b=2), protocol={"scale": scale}))
        assert command("report", tmp_path / name).code == 0
        titles = {
            "report.md": "Super-resolution 4x and restoration on",
            "table.tex": "Super-resolution and restoration,",
        }
        for file in FORMATS.values():
            text = (tmp_path / name / "report" / file).read_text()
            title = "Restoration" if name == "one" else titles.get(file, "Super-resolution 4× and restoration on")
            assert ("1x:" in text, "1×" in text) == (False, False), file
            assert file == "table.csv" or text.count(title) in (1, 2), file
            assert name == "both" or "uper-resolution" not in text
    done = command("compare", "a", "b", "--run", run := tmp_path / "one" / "1")
    assert done.code == 0, done.err
    [comparison] = run.glob("compare/**/*.md")
    assert "9 images of `d`, restoration, protocol" in comparison.read_text()


def test_contradicted_and_incomplete_runs_are_no_error(site, command):
    for name in ("torn", "app", "bare"):
        shutil.rmtree(site / name)
    assert command("report", site).code == 0


def test_a_state_is_the_verdict_of_verify(tmp_path):
    """The strongest is first."""
    for verdict in ("verified from its files", "unverified", "proven"):
        write_verified(write_run(tmp_path / verdict, made(a=1)), verdict, 9)
    [block] = blocks_below(tmp_path)
    assert [run.state for run in block.results.runs] == ["proven", "verified from its files", "unverified"]
    assert all(run.name == run.state for run in block.results.runs)


def test_the_page_holds_names_as_text(site, command):
    assert command("report", site).code == 1
    assert command("report", site).code == 1, "an earlier report is replaced"
    text = (site / "report" / "report.html").read_text()
    assert "<script>alert" not in text
    assert "<i>d" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert str(site) not in text, "a page for others names no folder of this machine"


def test_folders_without_runs_and_files_of_the_user_are_refused(site, command):
    (site / "report").mkdir()
    (site / "report" / "mine.txt").write_text("mine")
    done = command("report", site)
    assert (done.code, "not made by srbench" in done.err) == (1, True)
    assert [file.name for file in (site / "report").iterdir()] == ["mine.txt"]
    for words in (["report"], ["verify"], ["score", "--metrics", "psnr"], ["list", "runs"], ["view"], ["show"]):
        done = command(*words, site / "notes")
        assert (done.code, len(done.err.splitlines())) == (1, 1)
        assert "notes: no run in it; name a folder that srbench run made" in done.err
    assert not any((site / "notes").iterdir())
    done = command("report", site, "--out", site / "good")
    assert (done.code, "is a run, and its report shows that run alone" in done.err) == (1, True)


def test_what_another_command_writes_meanwhile_is_shown(tmp_path, monkeypatch):
    """Before this command may write the report: the other command wrote its own report before, without this one's."""
    write_run(tmp_path / "x", made(a=1))

    @contextmanager
    def late(folder):
        with replacing(folder) as draft:
            write_run(tmp_path / "y", made(b=2))
            yield draft

    monkeypatch.setattr("srbench.reporting.writers.leaderboard.replacing", late)
    write_leaderboard([tmp_path])
    assert {line["model"] for line in means(tmp_path / "report")} == {"a", "b"}


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("runs", "runs/good"), "runs/good is a run, and runs a folder of runs; give either runs or folders."),
        (("runs", "more"), "the report of several folders needs --out."),
        (("runs", "--single-file"), "--single-file goes with runs; runs is a folder of runs."),
        (("runs", "--baseline", "a"), "--baseline goes with runs; runs is a folder of runs."),
    ],
)
def test_arguments_that_do_not_go_together(site, command, words, fault):
    write_run(Path("more/z"), made(a=1))
    done = command("report", *words)
    assert (done.code, fault in done.err) == (2, True), done.err


def test_several_folders_are_one_leaderboard(site, command):
    write_run(Path("more/z"), made(a=1))
    assert command("report", site, "more", "--out", "out").code == 1
    assert {line["runs"] for line in means(Path("out")) if line["model"] == "a"} == {"runs/good more/z runs/lacking"}


@pytest.fixture(scope="module")
def measured_once(srbench, small_models, tmp_path_factory):
    """Runs of two datasets, with their reports, and the report of both. Nobody writes into them."""
    here = tmp_path_factory.mktemp("leaderboard")
    for folder, names in {"one/hr": "ab", "two/hr": "abc"}.items():
        for seed, name in enumerate(names):
            write_png(here / folder / f"{name}.png", drawn(seed + len(names), 36, 48))
    models = f"near={small_models}:Nearest,noisy={small_models}:Noisy"
    words = ("--models", models, "--temperature", "0.3,0.8", "--scale", 4, "--metrics", "psnr,ssim,sigma")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.setattr("srbench.reporting.writers.report.write_plots", lambda *given: [])
        done = srbench("run", *words, "--data", "one/hr,two/hr", "--samples", 2, "--workers", 1, "--out", "m")
    assert done.exit_code == 0, done.output
    return here / "m"


@pytest.fixture
def measured(measured_once, command):
    """A copy of these runs in the present folder, beside their datasets."""
    shutil.copytree(measured_once.parent, ".", dirs_exist_ok=True)
    return Path("m")


def test_one_table_in_four_formats(command, measured):
    lines = means(measured / "report")
    assert len(lines) == 2 * 3 * 3
    texts = {name: (measured / "report" / name).read_text() for name in ("report.md", "report.html", "table.tex")}
    of_models, _, of_variants = texts["report.md"].partition("### Other checkpoints, temperatures")
    for line in lines:
        with (measured / f"{line['data']}-x4" / "report" / "table.csv").open(newline="") as file:
            [own] = [
                row
                for row in csv.DictReader(file)
                if (row["model"], row["temperature"]) == (line["model"], line["temperature"])
            ]
        name = line["metric"]
        ends = [own.get(f"{name}{end}", "") for end in ("", "_low", "_high")]
        assert [line["mean"], line["low"], line["high"]] == ends
        assert (line["n"], line["signature"]) == (own["n"], own[f"{name}_signature"])
        assert (line["samples"], line["seed"]) == (("2", "0") if line["model"] == "noisy" else ("", ""))
        label = line["model"] if not line["temperature"] else f"noisy τ={line['temperature']}"
        row = rf"^\| {line['data']} +\| 4x +\| {re.escape(label)} +\|"
        is_variant = line["temperature"] == "0.3"
        assert re.search(row, of_variants if is_variant else of_models, re.MULTILINE)
        assert not re.search(row, of_models if is_variant else of_variants, re.MULTILINE)
        digits = {"psnr": 2, "ssim": 3, "sigma": 2}[name]
        assert f">{float(line['mean']):.{digits}f}<" in texts["report.html"]
        assert is_variant or f"{float(line['mean']):.{digits}f}" in texts["table.tex"]
    assert "textbf" not in texts["table.tex"]
    assert "bold" not in texts["table.tex"], "no caption explains bold, as three images permit none"
    assert "unknown format 'pdf'; choose from md, html, tex, csv" in command("report", measured, "--format", "pdf").err
    assert command("report", measured, "--format", "csv").out.splitlines()[-1] == "Report: m/report/table.csv"
    assert sorted(file.name for file in (measured / "report").iterdir()) == ["report.json", "table.csv"]


def test_intervals_of_all_tables(site, command):
    command("report", site, "--format", "tex", "--intervals")
    assert (site / "report" / "table.tex").read_text().count(r"\scriptsize") == 4


def test_links_lead_to_reports(command, measured):
    for page in "report.md", "report.html":
        text = (measured / "report" / page).read_text()
        links = {*re.findall(rf"[\"(]([^\"(]+/{page})", text)}
        assert links == {f"../{data}-x4/report/{page}" for data in ("one", "two")}
        assert text.count("Highest PSNR") == 2, "findings"
        assert text.count("unverified, srbench verify has not checked these records") == 2


def images_on(page):
    return re.findall(r'<img class="([^"]*)" src="([^"]+)"', page.read_text())


def test_a_strip_shows_the_images_of_one_run_as_they_were_measured(command, measured):
    page = measured / "report" / "report.html"
    shown = images_on(page)
    assert [kind for kind, _ in shown] == ["", "lr", "near", "noisy-t0.8_1", "hr"] * 2
    for _, address in shown:
        assert (page.parent / address).is_file()
    window = json.loads(html.unescape(re.search(r'data-window="([^"]+)"', page.read_text())[1]))
    assert window.keys() == {"left", "top", "wide", "tall", "whole"}
    first = page.parent / shown[2][1]
    first.write_bytes(first.read_bytes() + b" ")
    assert command("report", measured).code == 0
    assert shown[2][1] not in [address for _, address in images_on(page)], "the file was changed"


def test_the_strip_of_a_single_model_names_its_reference(command, photos, models):
    """LR upscaled by bicubic interpolation, without HR."""
    words = ("run", "--models", f"{models}:Nearest", "--scale", 4, "--limit", 1, "--metrics", "lr_psnr", "--workers", 1)
    for source, reference in (("--data", "HR"), ("--lr", "LR upscaled by bicubic interpolation")):
        assert command(*words, source, photos, "--out", f"m/{source}").code == 0
        results = read_results([Path(f"m/{source}")])
        strip = strip_of_run(results, table_of_runs(results))
        assert strip.caption == f"a, where Nearest differs most from {reference}."


def test_score_verify_show_and_list_are_of_all_runs(command, measured):
    assert len(command("list", "runs", measured).out.splitlines()) == 2
    assert command("show", measured).out.count("# Super-resolution") == 2
    assert command("score", measured, "--metrics", "lr_psnr", "--workers", 1).code == 0
    assert "LR-PSNR" in (measured / "report" / "report.md").read_text()
    for _ in range(2):
        found = command("verify", measured, "--resample", "all")
        assert found.code == 0, found.out
        assert found.out.count(" by their models") == 2
        assert "m/report: consistent with its runs: 2 proven\n" in found.out
        assert {line["state"] for line in means(measured / "report")} == {"proven"}, "written with the new verdicts"
    kept = measured / "two-x4/images/near/a.png"
    shutil.copy(measured / "two-x4/images/hr/a.png", kept)
    found = command("verify", measured)
    assert found.code == 1
    assert "m/report: consistent with its runs: 1 proven, 1 contradicted\n" in found.out, "the verdicts that it shows"
    found = command("verify", measured, "--format", "json")
    assert found.code == 1
    verdicts = {one["folder"]: one["verdict"] for one in json.loads(found.out)}
    assert verdicts["m/two-x4"] == "contradicted"
    assert verdicts["m/one-x4"] == "verified from its files"
    assert verdicts["m/report"] == "consistent with its runs"


def change_value(report):
    """A better mean in the csv."""
    file = report / "table.csv"
    line = means(report)[0]
    file.write_text(file.read_text().replace(line["mean"], str(float(line["mean"]) + 1), 1))
    forge_list(report.parent)


def change_bold(report):
    file = report / "report.md"
    text = file.read_text()
    number = re.search(r"\d+\.\d+ \|", text)[0]
    file.write_text(text.replace(number, f"**{number[:-2]}** |", 1))
    forge_list(report.parent)


def change_verdict(report):
    file = report / "report.html"
    file.write_text(file.read_text().replace("unverified", "proven"))
    forge_list(report.parent)


def change_without_list(report):
    (report / "table.tex").write_text((report / "table.tex").read_text() + "% best\n")


def add_text(report):
    (report / "more.md").write_text("proven by srbench")
    listed = json.loads((report / "report.json").read_text())
    listed["files"]["more.md"] = sha256_file(report / "more.md")
    (report / "report.json").write_text(json.dumps(listed))


CHANGES = {
    change_value: "contradicted (report-differs): report/table.csv: shows ",
    change_bold: "contradicted (report-differs): report/report.md: ",
    change_verdict: "contradicted (report-differs): report/report.html: line ",
    change_without_list: "contradicted (report-differs): report/table.tex: does not match its SHA-256 in report.json",
    add_text: "contradicted (report-differs): report/more.md: is no part of a report",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_report_changed_by_hand_is_contradicted(command, measured, change):
    change(measured / "report")
    before = {file.name: file.read_bytes() for file in (measured / "report").iterdir()}
    found = command("verify", measured)
    assert found.code == 1
    assert CHANGES[change] in found.out
    assert before == {file.name: file.read_bytes() for file in (measured / "report").iterdir()}, "evidence is kept"


def test_a_report_that_is_out_of_date_is_not_compared(command, measured):
    assert command("verify", measured / "one-x4", "--resample", "all").code == 0
    found = command("verify", measured, "--resample", "all")
    assert found.code == 3
    assert "report: was written before the last records, checks or reports of its runs; run srbench report" in found.out
    assert command("verify", measured, "--resample", "all", "--allow-unverified").code == 0
    assert command("report", measured).code == 0
    assert command("verify", measured, "--resample", "all").code == 0


def test_the_address_of_the_folder_does_not_count(command, measured, monkeypatch):
    monkeypatch.chdir(measured)
    assert "report: consistent with its runs: 2 proven" in command("verify", ".", "--resample", "all").out
    assert "report: consistent with its runs: 2 proven" in command("verify", Path.cwd(), "--resample", "all").out


def test_a_joint_table_in_the_place_of_the_report_is_not_compared(command, measured):
    shutil.copytree(measured / "two-x4", measured / "again")
    assert command("report", measured / "two-x4", measured / "again", "--out", measured / "report").code == 0
    found = command("verify", measured, "--resample", "all")
    assert found.code == 3
    assert "report: was written for several runs in one table, not for this folder; run srbench report" in found.out


@pytest.mark.parametrize(("file", "content"), [("manifest.json", None), ("rows.jsonl", "{}\n")])
def test_a_damaged_run_is_an_error_and_the_others_are_shown(command, measured, file, content):
    shutil.copytree(measured / "one-x4", measured / "third")
    damaged = measured / "one-x4"
    (damaged / file).unlink()
    if content is not None:
        (damaged / file).write_text(content)
    found = command("report", measured)
    assert found.code == 1
    assert found.err.splitlines()[-1].startswith("srbench: one-x4: ")
    assert "left out: one-x4: " in found.out
    assert {(line["data"], line["runs"]) for line in means(measured / "report")} == {
        ("one", "third"),
        ("two", "two-x4"),
    }
    assert "one-x4: " in (measured / "report" / "report.html").read_text()
    verified = command("verify", measured)
    assert (verified.code, str(damaged) in verified.err) == (1, True)
    assert verified.out.count(": verified from its files: ") == 2
    assert "m/report: consistent with its runs: 2 verified from its files, 1 damaged\n" in verified.out
    scored = command("score", measured, "--metrics", "lr_psnr", "--workers", 1)
    assert (scored.code, "one-x4" in scored.err) == (1, True)
    assert "lr_psnr" in {line["metric"] for line in means(measured / "report")}


def test_fid_is_a_column_only_beside_values_of_the_same_images(command, measured, small_models, small_inception):
    words = ("--models", "bicubic", "--data", "two/hr", "--scale", 4, "--metrics", "psnr,fid", "--workers", 1)
    assert command("run", *words, "--out", "m/fid").code == 0
    few = ("--models", f"few={small_models}:Nearest", "--limit", 2)
    assert command("run", *words, *few, "--out", "m/fid").code == 0
    assert command("report", "m").code == 0
    lines = {(line["model"], line["metric"]): line for line in means(measured / "report") if line["data"] == "two"}
    assert float(lines["bicubic", "fid"]["mean"]) > 0
    assert ("near", "fid") not in lines
    assert "few" not in {model for model, _ in lines}, "nor its FID of two images"
    assert "- fid, few: not measured on all of 3 images" in (measured / "report/report.md").read_text()


@pytest.mark.slow
def test_the_page_asks_for_nothing_and_sorts(site, command, browser):
    command("report", site, "--out", "out")
    page, seen = browser.new_page(), []
    page.on("request", lambda request: seen.append(request.url))
    page.on("console", lambda message: seen.append(message.text))
    page.on("dialog", lambda dialog: seen.append(dialog.message))
    address = Path("out/report.html").absolute().as_uri()
    page.goto(address)
    rows = page.locator(".leaderboard tbody:not(.heading) th")
    assert rows.all_inner_texts() == ["b", "<b>", "a", "c"]
    button = page.get_by_role("button", name="PSNR")
    button.click()
    button.click()
    assert rows.all_inner_texts() == ["<b>", "b", "c", "a"], "within each block"
    assert seen == [address]


@pytest.mark.slow
def test_rows_are_filtered_and_colours_change(measured, browser):
    page = browser.new_page()
    page.goto((measured / "report" / "report.html").resolve().as_uri())
    rows, headings = page.locator("tbody:not(.heading) tr:visible"), page.locator(".heading:visible")
    assert rows.count() == 2 * 3
    assert headings.locator("th").all_inner_texts() == ["one 4×", "variants", "two 4×", "variants"]
    page.fill("#filter", "τ=0.3")
    assert rows.count() == 2
    assert headings.count() == 4
    page.fill("#filter", "two 4×")
    assert rows.count() == 3
    assert headings.locator("th").all_inner_texts() == ["two 4×", "variants"]
    assert page.locator("h3:visible").all_inner_texts() == ["two 4×"]
    page.fill("#filter", "near")
    assert headings.locator("th").all_inner_texts() == ["one 4×", "two 4×"]
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    page.close()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(measured):
    table = (measured / "report" / "table.tex").read_text()
    packages = "\\usepackage[T1]{fontenc}\\usepackage{booktabs}\\usepackage{graphicx}"
    head = f"\\documentclass[twocolumn]{{article}}{packages}\\begin{{document}}"
    Path("paper.tex").write_text(f"{head}\n{table}\\end{{document}}\n")
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "paper.tex"], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout[-2000:]


def test_a_report_is_renewed_with_its_choices(measured, command):
    shutil.rmtree(measured / "report")
    renew(measured)
    assert {file.name for file in (measured / "report").iterdir()} >= {*FORMATS.values()}, "there was none: all formats"
    write_leaderboard([measured], ["csv"], choices=Choices(intervals=True))
    renew(measured)
    listing = read_listing(measured / "report")
    assert sorted(listing.files) == ["report.html", "table.csv"], "and the page to view"
    assert listing.choices.intervals


def test_viewing_a_folder_of_runs_keeps_the_choices_of_its_report(measured, command, monkeypatch):
    monkeypatch.setattr("srbench.reporting.page.view.view", lambda folder, **options: None)
    assert command("report", measured, "--format", "html,tex", "--intervals").code == 0
    assert command("view", measured, "--no-browser").code == 0
    listing = read_listing(measured / "report")
    assert (sorted(listing.files), listing.choices.intervals) == (["report.html", "table.tex"], True)


def test_a_title_with_brackets_is_printed_as_it_is(tmp_path, command):
    write_run(tmp_path / "runs" / "x", replace(made(a=1), protocol={"suite": "my[x]@1"}))
    assert "my[x]@1" in command("report", "runs").out.splitlines()[0]
