"""FID and KID as columns of a run: never beside images on which they were not measured."""

from __future__ import annotations

import csv
import json
import math
import shutil
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from builders import image_set
from record_runs import forge_sums

from srbench import Results
from srbench.images.io import read_uint8
from srbench.metrics.loading import open_metric
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.manifest import read_manifest
from srbench.verification.verify import verify

pytestmark = pytest.mark.usefixtures("small_inception")


@pytest.fixture
def bench(command, photos, models):
    """Run two models; the second draws two samples."""

    def call(*options, metrics="psnr,fid", out="run"):
        words = ("--models", f"{models}:Nearest,{models}:Noisy", "--scale", 4, "--data", photos, "--samples", 2)
        found = command("run", *words, "--metrics", metrics, "--out", out, *options)
        assert found.code == 0, found.err
        return found

    return call


def column(name="fid", report="run/report"):
    """A column of a report, by model."""
    table = csv.DictReader(Path(report, "table.csv").read_text().splitlines())
    return {row["model"]: float(row[name] or "nan") for row in table}


def expected(folder, sample="", images="abcd"):
    """FID of saved images."""
    outputs = [read_uint8(Path(f"run/images/{folder}/{name}{sample}.png")) for name in images]
    references = [read_uint8(Path(f"run/images/hr/{name}.png")) for name in images]
    return open_metric("fid").metric(image_set(outputs, references))


def lines(out="run"):
    """The lines of rows.jsonl for all images together."""
    every = Path(out, "rows.jsonl").read_text().splitlines()
    return [line for line in every if json.loads(line)["subject"] == ""]


def rewrite(change, out="run"):
    """Rewrite the lines of rows.jsonl; ``change`` maps a parsed line to a line, or to None."""
    path = Path(out, "rows.jsonl")
    changed = [change(json.loads(line)) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in changed if line is not None))


def test_a_dry_run_names_it(bench, command):
    def left(*options):
        return [line for line in bench("--dry-run", *options).out.splitlines() if line.endswith(" of 2 settings")]

    assert left() == ["  FID of 2 settings"]
    assert left("--shard", "1/2") == []
    bench()
    assert "Nothing is left to do." in bench("--dry-run").out
    found = bench("--dry-run", metrics="psnr,fid,kid").out.splitlines()
    assert found[2:] == [
        "Left: 0 to sample and measure, 0 sampled but not fully measured.",
        "  KID of 2 settings",
    ]


def test_it_is_a_column_of_the_first_outputs(bench, command, tmp_path):
    found = bench()
    wanted = {"Nearest": expected("Nearest"), "Noisy": expected("Noisy-t0.8", "_sample0")}
    assert column() == pytest.approx(wanted)
    assert wanted["Nearest"] != pytest.approx(wanted["Noisy"], rel=0.1)
    assert "FID" in found.out
    report = (tmp_path / "run/report/report.md").read_text()
    row = next(line for line in report.splitlines() if line.startswith("| Nearest "))
    assert row.split("|")[3].strip() == f"{wanted['Nearest']:.2f}"
    assert "A single value, without interval and test: FID of all images together." in report
    assert "- FID|RGB|floor|clean|pyiqa" in report.replace("`", "")
    for name in ("report.html", "table.tex"):
        assert f"{wanted['Nearest']:.2f}" in (tmp_path / "run/report" / name).read_text(), name
    before = lines()
    bench()
    assert lines() == before, "nothing is measured twice"
    schema = json.loads(files("srbench.run_folder").joinpath("schema.json").read_text())
    for line in before:
        jsonschema.validate(json.loads(line), schema | {"$ref": "#/$defs/ScoreRecord"})
    assert command("show", "run").out.count(f"{wanted['Nearest']:.2f}") == 1


def test_every_reader_of_a_run_has_it(bench, command):
    """As the last column, with the image "" and the sample -1, without an interval."""
    bench()
    wanted = expected("Nearest")
    results = Results("run")
    assert list(results.table.columns) == ["psnr", "n", "fid"]
    assert results.table["fid"].iloc[0] == round(wanted, 2)
    assert results.intervals["fid"].iloc[0] == pytest.approx(wanted)
    assert "fid_low" not in results.intervals
    (row,) = results.rows[(results.rows["metric"] == "fid") & (results.rows["model"] == "Nearest")].to_dict("records")
    assert (row["image"], row["sample"], row["value"]) == ("", -1, pytest.approx(wanted))
    table = csv.DictReader(Path("run/report/rows.csv").read_text().splitlines())
    (row,) = [row for row in table if row["metric"] == "fid" and row["model"] == "Nearest"]
    assert (row["image"], row["sample"], float(row["value"])) == ("", "", pytest.approx(wanted))
    assert command("report", ".").code == 0
    table = list(csv.DictReader(Path("report/table.csv").read_text().splitlines()))
    (row,) = [row for row in table if row["metric"] == "fid" and row["model"] == "Nearest"]
    assert (float(row["mean"]), row["best"]) == (pytest.approx(wanted), "False")


def test_models_are_compared_by_two_values(bench, command):
    bench()
    found = command("compare", "Nearest", "Noisy", "--run", "run")
    values = [expected("Nearest"), expected("Noisy-t0.8", "_sample0")]
    (row,) = [line for line in found.out.splitlines() if "FID ↓" in line]
    assert row.split()[2:] == [*(f"{value:.2f}" for value in (*values, values[0] - values[1])), *"–––––"]
    assert "FID: a value of the model or of all images together, without interval and test." in found.out
    assert "FID is" not in found.out
    assert "FID are" not in found.out


def test_it_may_be_the_only_metric(bench, command):
    bench(metrics="fid")
    assert column() == pytest.approx({"Nearest": expected("Nearest"), "Noisy": expected("Noisy-t0.8", "_sample0")})
    assert column("n") == {"Nearest": 4, "Noisy": 4}
    for name in ("report.md", "report.html", "table.tex"):
        assert f"{column()['Nearest']:.2f}" in Path("run/report", name).read_text(), name
    assert command("compare", "Nearest", "Noisy", "--run", "run").code == 0
    assert verify(Path("run")).verified == 2
    report = Path("run/report/report.md").read_text()
    assert "| FID ↓ |" in report
    assert "at least 6 images" not in report, "no number of images permits a test"
    assert "No 95 % interval" not in report
    bench(metrics="psnr")
    assert column() == pytest.approx({"Nearest": expected("Nearest"), "Noisy": expected("Noisy-t0.8", "_sample0")})


def test_verify_measures_it_again(bench, tmp_path):
    bench()
    findings = verify(tmp_path / "run")
    assert findings.holds
    assert findings.verified == 4 + 4 + 2
    first, second = map(json.loads, lines())
    rewrite(lambda line: line | {"value": 1.5 * line["value"]} if line["key"] == first["key"] else line)
    assert "file-differs" in {finding.rule for finding in verify(tmp_path / "run").findings}
    forge_sums(tmp_path / "run")
    assert [finding.rule for finding in verify(tmp_path / "run").findings] == ["value-differs", "not-compared"]
    rewrite(lambda line: None if line["key"] == first["key"] else line)
    forge_sums(tmp_path / "run")
    findings = verify(tmp_path / "run")
    assert findings.verdict == "unverified"
    assert ("incomplete", "its FID was not measured on these images") in {
        (one.rule, one.text) for one in findings.findings
    }
    rewrite(lambda line: line | {"metric": "mine"} if line["key"] == second["key"] else line)
    forge_sums(tmp_path / "run")
    assert "record-differs" in {finding.rule for finding in verify(tmp_path / "run").findings}


def test_other_images_are_measured_by_the_next_command(bench):
    bench("--limit", 3)
    assert column() == pytest.approx({"Nearest": expected("Nearest", images="abc"), "Noisy": column()["Noisy"]})
    bench(metrics="psnr")
    assert column()["Nearest"] == pytest.approx(expected("Nearest"))


def test_shards_are_merged_without_a_value(bench, command):
    for part in (1, 2):
        bench("--shard", f"{part}/2", out=f"part{part}")
        assert lines(f"part{part}") == []
        [invocation] = read_manifest(Path(f"part{part}")).invocations
        assert "psnr" in invocation.metrics
        assert not any(name.startswith("fid") for name in invocation.metrics), "it is measured after merging"
    assert command("merge", "part1", "part2", "--out", "run").code == 0
    assert all(map(math.isnan, column().values()))
    report = Path("run/report/report.md").read_text()
    assert "FID of Nearest and Noisy τ=0.8 is not measured on these images; add it with srbench score" in report
    assert "4/4 images without FID" in command("list", "runs", "run").out
    findings = verify(Path("run"))
    assert findings.verdict == "unverified"
    where = [one.where for one in findings.findings if one.text == "its FID was not measured on these images"]
    assert where == ["Nearest", "Noisy-t0.8"]
    assert command("score", "run", "--metrics", "kid+mode=legacy").code == 0
    assert column()["Nearest"] == pytest.approx(expected("Nearest"))
    assert not any(map(math.isnan, column("kid_mode_legacy").values()))
    assert "without" not in command("list", "runs", "run").out
    assert command("score", "part1", "--metrics", "fid").code == 0
    assert command("score", "part2", "--metrics", "fid").code == 0
    assert command("report", "part1", "part2", "--out", "both").code == 0
    assert all(map(math.isnan, column(report="both").values())), "a value of a part is none of the whole"


def test_runs_of_other_models_share_a_table(command, photos, models):
    for name in ("Nearest", "Noisy"):
        words = ("--models", f"{models}:{name}", "--scale", 4, "--data", photos, "--metrics", "psnr,fid", "--out", name)
        assert command("run", *words).code == 0
    assert command("merge", "Nearest", "Noisy", "--out", "run").code == 0
    assert not any(map(math.isnan, column().values()))
    assert command("report", "Nearest", "Noisy", "--out", "both").code == 0
    assert column(report="both") == column()


def test_copies_with_other_values_are_not_merged(bench, command):
    bench()
    shutil.copytree("run", "copy")
    for factor, code in ((1 + 1e-6, 0), (2, 1)):
        rewrite(lambda line: line if line["subject"] else line | {"value": line["value"] * factor}, "copy")  # noqa: B023
        forge_sums(Path("copy"))
        done = command("merge", "run", "copy", "--out", f"merged{code}")
        assert done.code == code, done.err
    assert "copy: FID of Nearest on all images is" in done.err


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (("--metrics", "niqe,fid", "--lr", "run/images/lr", "--data", None), "FID needs HR images, and lr has none"),
        (("--metrics", "psnr,fid+mode=x"), "mode is 'x'"),
    ],
)
def test_what_is_missing_is_one_line(bench, command, models, photos, options, fault):
    bench(metrics="psnr")
    data = () if None in options else ("--data", photos)
    words = [word for word in options if word not in ("--data", None)]
    found = command("run", "--models", f"{models}:Nearest", "--scale", 4, *data, *words, "--out", "other")
    assert found.code == 1
    assert fault in found.err.replace("\n", " ")


def test_images_that_were_changed_are_named_and_tried_again(bench, command, tmp_path):
    bench(metrics="psnr")
    file = tmp_path / "run/images/hr/c.png"
    content = file.read_bytes()
    file.unlink()
    found = command("score", "run", "--metrics", "fid")
    assert found.code == 1
    fault = "FID: needs LR or HR of c, which run lacks or which were changed"
    assert f"Nearest: {fault}" in found.err
    assert {score.value for score in RunFolder.read(tmp_path / "run").scores[""].values()} == {None}
    assert f"Failed: Nearest: {fault}" in Path("run/report/report.md").read_text()
    assert any(fault in one.text for one in verify(tmp_path / "run").findings if one.rule == "incomplete")
    file.write_bytes(content)
    assert command("score", "run", "--metrics", "fid").code == 0
    assert column()["Nearest"] == pytest.approx(expected("Nearest"))


def test_a_single_image_fails(bench, command, models, photos):
    words = ("--models", f"{models}:Nearest", "--scale", 4, "--data", photos, "--limit", 1)
    found = command("run", *words, "--metrics", "psnr,fid", "--out", "run")
    assert found.code == 1
    assert "Nearest: FID: FID and KID compare sets of images; both need at least two images" in found.err
