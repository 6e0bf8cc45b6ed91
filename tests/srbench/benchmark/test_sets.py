"""FID and KID as columns of a run: never beside images on which they were not measured."""

from __future__ import annotations

import csv
import json
import math
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from inception import Inception
from record_runs import forge_sums

from srbench import Results
from srbench.images.io import read_uint8
from srbench.metrics.fid import SetDistances
from srbench.run_folder.folder import RunFolder
from srbench.verification.verify import verify


@pytest.fixture(autouse=True)
def network(monkeypatch):
    monkeypatch.setattr("pyiqa.archs.fid_arch.InceptionV3", Inception)


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
    distances = SetDistances(["fid"], "floor")
    outputs = [read_uint8(Path(f"run/images/{folder}/{name}{sample}.png")) for name in images]
    references = [read_uint8(Path(f"run/images/hr/{name}.png")) for name in images]
    return distances.between(distances.features(outputs), distances.features(references))["fid"]


def lines(out="run"):
    return Path(out, "sets.jsonl").read_text().splitlines()


def test_it_is_a_column_of_the_first_outputs(bench, command, tmp_path):
    found = bench()
    wanted = {"Nearest": expected("Nearest"), "Noisy": expected("Noisy-t0.8", "_sample0")}
    assert column() == pytest.approx(wanted)
    assert wanted["Nearest"] != pytest.approx(wanted["Noisy"], rel=0.1)
    assert "FID" in found.out
    report = (tmp_path / "run/report/report.md").read_text()
    row = next(line for line in report.splitlines() if line.startswith("| Nearest "))
    assert row.split("|")[3].strip() == f"{wanted['Nearest']:.2f}"
    assert "FID compares the first outputs of all images with all HR images" in report
    assert "- FID|RGB|floor|clean|pyiqa" in report.replace("`", "")
    for name in ("report.html", "table.tex"):
        assert f"{wanted['Nearest']:.2f}" in (tmp_path / "run/report" / name).read_text(), name
    before = lines()
    bench()
    assert lines() == before, "nothing is measured twice"
    assert Results("run").table["fid"].droplevel("temperature").to_dict() == pytest.approx(wanted, abs=0.005)
    schema = json.loads(files("srbench.run_folder").joinpath("schema.json").read_text())
    for line in before:
        jsonschema.validate(json.loads(line), schema | {"$ref": "#/$defs/SetRecord"})
    assert command("show", "run").out.count(f"{wanted['Nearest']:.2f}") == 1


def test_verify_measures_it_again(bench, tmp_path):
    bench()
    findings = verify(tmp_path / "run")
    assert findings.holds
    assert findings.verified == 4 + 4 + 2
    path = tmp_path / "run/sets.jsonl"
    first, *rest = [json.loads(line) for line in lines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in (first | {"value": 1.5 * first["value"]}, *rest)))
    assert "file-differs" in {finding.rule for finding in verify(tmp_path / "run").findings}
    forge_sums(tmp_path / "run")
    assert [finding.rule for finding in verify(tmp_path / "run").findings] == ["value-differs", "not-compared"]
    path.write_text("".join(json.dumps(line) + "\n" for line in rest))
    forge_sums(tmp_path / "run")
    findings = verify(tmp_path / "run")
    assert findings.verdict == "unverified"
    assert ("incomplete", "its FID was not measured on these images") in {
        (one.rule, one.text) for one in findings.findings
    }


def test_other_images_have_no_value_until_it_is_measured(bench, command):
    bench("--limit", 3)
    assert column() == pytest.approx({"Nearest": expected("Nearest", images="abc"), "Noisy": column()["Noisy"]})
    bench(metrics="psnr")
    assert all(map(math.isnan, column().values()))
    report = Path("run/report/report.md").read_text()
    assert "FID of Nearest and Noisy τ=0.8 is not measured on these images; add it with srbench score" in report
    assert command("score", "run", "--metrics", "fid").code == 0
    assert column()["Nearest"] == pytest.approx(expected("Nearest"))


def test_shards_are_merged_without_values_of_parts(bench, command):
    for part in (1, 2):
        bench("--shard", f"{part}/2", out=f"part{part}")
    assert command("merge", "part1", "part2", "--out", "run").code == 0
    assert all(map(math.isnan, column().values()))
    assert command("score", "run", "--metrics", "fid,kid+mode=legacy").code == 0
    assert column()["Nearest"] == pytest.approx(expected("Nearest"))
    assert not any(map(math.isnan, column("kid_legacy").values()))
    assert command("report", "part1", "part2", "--out", "both").code == 0
    assert all(map(math.isnan, column(report="both").values())), "a value of a part is none of the whole"


def test_runs_of_other_models_share_a_table(bench, command, photos, models):
    for name in ("Nearest", "Noisy"):
        words = ("--models", f"{models}:{name}", "--scale", 4, "--data", photos, "--metrics", "psnr,fid", "--out", name)
        assert command("run", *words).code == 0
    assert command("merge", "Nearest", "Noisy", "--out", "run").code == 0
    assert not any(map(math.isnan, column().values()))


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (("--metrics", "fid"), "fid is a column beside metrics of single images; add one: psnr,fid"),
        (("--metrics", "niqe,fid", "--lr", "run/images/lr", "--data", None), "fid needs HR images, and lr has none"),
        (("--metrics", "psnr,fid+mode=x"), "unknown mode 'x'"),
    ],
)
def test_what_is_missing_is_one_line(bench, command, models, photos, options, fault):
    bench(metrics="psnr")
    data = () if None in options else ("--data", photos)
    words = [word for word in options if word not in ("--data", None)]
    found = command("run", "--models", f"{models}:Nearest", "--scale", 4, *data, *words, "--out", "other")
    assert found.code == 1
    assert fault in found.err.replace("\n", " ")


def test_images_that_were_changed_are_named(bench, command, tmp_path):
    bench(metrics="psnr")
    (tmp_path / "run/images/hr/c.png").unlink()
    found = command("score", "run", "--metrics", "fid")
    assert found.code == 1
    assert "Nearest: FID: needs the output and the HR image of c, which run lacks or which were changed" in found.err
    assert not RunFolder.read(tmp_path / "run").sets
