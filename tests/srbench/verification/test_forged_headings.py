"""No verdict is "proven" over a false heading: whoever forges a run renews its sums and report as well."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import pytest
from builders import drawn
from record_runs import forge_list, forge_sums

from srbench.images.io import write_png
from srbench.reporting.writers.report import write_report
from srbench.run_folder.folder import RunFolder, score_key
from srbench.verification.findings import Findings
from srbench.verification.records import check_records
from srbench.verification.verify import verify

pytestmark = pytest.mark.usefixtures("with_plots")

PROOFS = ("proven", "verified from its files")
RECORDS = ("pairs.jsonl", "samples.jsonl", "rows.jsonl")


@pytest.fixture(scope="module")
def original(tmp_path_factory, srbench, small_models):
    """A finished run of two models on three images, with its report. Nobody writes into it."""
    here = tmp_path_factory.mktemp("original")
    for seed, name in enumerate("abc"):
        write_png(here / "photos" / f"{name}.png", drawn(seed, 40, 44))
    models = f"near={small_models}:Nearest,noisy={small_models}:Noisy"
    words = ["--models", models, "--scale", 4, "--data", here / "photos", "--crop", 32, "--metrics", "psnr,ssim,sigma"]
    words += ["--samples", 2, "--temperature", "0.3,0.8"]
    done = srbench("run", *words, "--workers", 1, "--out", here / "run")
    assert done.exit_code == 0, done.output
    return here / "run"


class Names(tuple):
    """Names that must not be searched: a run of 10,000 images would take 60,000 searches of its list."""

    def __contains__(self, name):
        raise AssertionError(f"searched for {name}")


def test_records_of_many_images_are_compared_without_searching_the_list_of_images(original):
    folder = RunFolder.read(original)
    folder.manifest = replace(folder.manifest, images=Names(folder.manifest.images))
    findings = Findings(original)
    check_records(folder, findings)
    assert findings.findings == []


def edit_manifest(folder, change):
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def edit_lines(folder, name, edit):
    """Replace every record of a file by what ``edit`` returns for it; None drops it."""
    lines = [edit(json.loads(line)) for line in (folder / name).read_text().splitlines()]
    (folder / name).write_text("".join(f"{json.dumps(line)}\n" for line in lines if line is not None))


def metric(**facts):
    """Change the first metric, PSNR."""
    return lambda folder: edit_manifest(folder, lambda manifest: manifest["metrics"][0].update(facts))


def protocol(**facts):
    return lambda folder: edit_manifest(folder, lambda manifest: manifest["protocol"].update(facts))


def model(**facts):
    return lambda folder: edit_manifest(folder, lambda manifest: manifest["models"][0].update(facts))


def model_digest_and_keys(folder):
    """The digest of a model, and the keys of all records that follow from it."""
    model(digest="0" * 64)(folder)
    changed = RunFolder.read(folder)
    samples = {}

    def edit_sample(line):
        record = next(each for each in changed.of(line["image"]).samples.values() if each.key == line["key"])
        pair = changed.of(line["image"]).pair
        samples[line["key"]] = line | {"key": changed.sample_key(record.setting, pair.key, record.source)}
        return samples[line["key"]]

    edit_lines(folder, "samples.jsonl", edit_sample)
    changed = RunFolder.read(folder)

    def edit_score(line):
        sample = samples[line["sample"]]
        record = next(each for each in changed.of(line["subject"]).samples.values() if each.key == sample["key"])
        facts = changed.manifest.metric(line["metric"])
        return line | {"sample": record.key, "key": score_key(record, facts)}

    edit_lines(folder, "rows.jsonl", edit_score)


def weights_digest_and_keys(folder):
    """The weights that a model states as well: its code and its weights seem to have changed together."""
    FORGERIES["weights"](folder)
    model_digest_and_keys(folder)


def image_dropped(folder):
    for name in RECORDS:
        edit_lines(folder, name, lambda line: None if "c" in (line.get("image"), line.get("subject")) else line)

    def change(manifest):
        manifest["images"] = ["a", "b"]
        manifest["invocations"][0]["images"] = ["a", "b"]

    edit_manifest(folder, change)


def image_out_of_scope(folder):
    edit_manifest(folder, lambda manifest: manifest["invocations"][0].update(images=["a", "b"]))


def drop_settings(folder, is_meant):
    for name in RECORDS[1:]:
        edit_lines(folder, name, lambda line: None if is_meant(line) else line)

    def change(manifest):
        manifest["settings"] = [setting for setting in manifest["settings"] if not is_meant(setting)]
        manifest["invocations"][0]["settings"] = manifest["settings"]
        labels = {setting["model"] for setting in manifest["settings"]}
        manifest["models"] = [model for model in manifest["models"] if model["label"] in labels]

    edit_manifest(folder, change)


def model_dropped(folder):
    drop_settings(folder, lambda setting: setting["model"] == "near")


def temperature_dropped(folder):
    drop_settings(folder, lambda setting: setting["temperature"] == 0.8)


def ssim_of(line):
    return (line["model"], line["subject"], line["metric"]) == ("near", "a", "ssim")


def value_dropped(folder):
    edit_lines(folder, "rows.jsonl", lambda line: None if ssim_of(line) else line)
    edit_manifest(folder, lambda manifest: manifest["invocations"][0].update(metrics=["psnr", "sigma"]))


def metric_dropped(folder):
    edit_lines(folder, "rows.jsonl", lambda line: None if line["metric"] == "ssim" else line)

    def change(manifest):
        manifest["metrics"] = [each for each in manifest["metrics"] if each["name"] != "ssim"]
        manifest["invocations"][0]["metrics"] = ["psnr", "sigma"]

    edit_manifest(folder, change)


def value_failed(folder):
    failure = {"value": None, "error": "a: ssim failed"}
    edit_lines(folder, "rows.jsonl", lambda line: line | failure if ssim_of(line) else line)


def output_failed(folder):
    failure = {"outputs": [], "error": "a: near failed"}
    is_meant = lambda line: (line["model"], line.get("image", line.get("subject"))) == ("near", "a")  # noqa: E731
    edit_lines(folder, "samples.jsonl", lambda line: line | failure if is_meant(line) else line)
    edit_lines(folder, "rows.jsonl", lambda line: None if is_meant(line) else line)


def image_failed(folder):
    failure = {"lr": None, "hr": None, "error": "a: cannot be read"}
    edit_lines(folder, "pairs.jsonl", lambda line: line | failure if line["image"] == "a" else line)
    for name in RECORDS[1:]:
        edit_lines(folder, name, lambda line: None if "a" in (line.get("image"), line.get("subject")) else line)


def outliers(count):
    return lambda folder: edit_lines(folder, "samples.jsonl", lambda line: line | {"outliers": count})


def uncropped(size):
    return lambda folder: edit_lines(folder, "pairs.jsonl", lambda line: line | {"uncropped": size})


FORGERIES = {
    "name": model(spec="near=esrgan@0.5"),
    "name that is none": model(spec="near=esrgan@much"),
    "name of other code": model(spec="near=models.py:Noisy"),
    "options": model(spec="near=models.py:Nearest+consistent"),
    "outliers": outliers(1),
    "outliers unknown": outliers(None),
    "uncropped": uncropped([9999, 9999]),
    "direction": metric(direction=-1),
    "title": metric(title="PSNR (Y)"),
    "unit": metric(unit="dB of Y"),
    "digits": metric(digits=0),
    "protocol of a metric": metric(protocol="uint8 Y by round"),
    "suite": protocol(suite="classic-y@1"),
    "crop": protocol(crop=None),
    "LR": protocol(lr="Real-ESRGAN's degradation"),
    "projected": model(projected=True),
    "weights": model(weights={"sha256": "0" * 64, "licence": "MIT", "trained_on": "DF2K", "parameters": 1}),
    "digest": model(digest="0" * 64),
    "weights, digest and keys": weights_digest_and_keys,
    "image dropped": image_dropped,
    "image out of scope": image_out_of_scope,
    "model dropped": model_dropped,
    "temperature dropped": temperature_dropped,
    "value dropped": value_dropped,
    "metric dropped": metric_dropped,
    "value failed": value_failed,
    "output failed": output_failed,
    "image failed": image_failed,
}
"""What may be said falsely of a run without a change of any value, by name."""


@pytest.mark.slow
@pytest.mark.parametrize("name", FORGERIES)
def test_nothing_is_proven_over_a_false_heading(original, tmp_path, name):
    folder = shutil.copytree(original, tmp_path / "run")
    FORGERIES[name](folder)
    forge_sums(folder)
    write_report([folder])
    findings = verify(folder, resample="all")
    assert findings.verdict not in PROOFS, findings.text()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("name", ("manifest-differs", "near")),
        ("name that is none", ("manifest-differs", "near")),
        ("name of other code", ("request-unknown", "near")),
        ("options", ("manifest-differs", "near")),
        ("outliers", ("sample-differs", "near a")),
        ("outliers unknown", ("sample-differs", "near a")),
        ("uncropped", ("record-differs", "pairs.jsonl: a")),
    ],
)
def test_a_sentence_of_the_report_that_is_false_is_named(original, tmp_path, name, found):
    folder = shutil.copytree(original, tmp_path / "run")
    FORGERIES[name](folder)
    forge_sums(folder)
    write_report([folder])
    findings = verify(folder, resample="all")
    assert found in {(each.rule, each.where) for each in findings.findings}, findings.text()


def test_images_that_are_said_to_be_whole_were_cropped(tmp_path, srbench):
    write_png(tmp_path / "photos" / "a.png", drawn(0, 33, 36))
    words = ["--models", "bicubic", "--scale", 4, "--data", tmp_path / "photos", "--metrics", "psnr"]
    done = srbench("run", *words, "--workers", 1, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert verify(tmp_path / "run", resample="all").proven
    uncropped(None)(tmp_path / "run")
    forge_sums(tmp_path / "run")
    write_report([tmp_path / "run"])
    findings = verify(tmp_path / "run")
    [found] = [each for each in findings.findings if each.severity == "contradicted"]
    assert (found.rule, found.where) == ("record-differs", "pairs.jsonl: a")
    assert found.text == "its HR is said to be not cropped, and is from 36x33"


def test_a_model_of_other_code_that_makes_the_same_outputs_is_noted(original, tmp_path):
    """A false digest cannot be told from that of an earlier version."""
    folder = shutil.copytree(original, tmp_path / "run")
    model_digest_and_keys(folder)
    forge_sums(folder)
    write_report([folder])
    findings = verify(folder, resample="all")
    assert [(each.rule, each.where) for each in findings.findings] == [("code-changed", "near")]


@pytest.mark.parametrize("name", ["report.html", "report.md", "table.tex", "table.csv", "rows.csv"])
def test_no_number_of_a_report_is_changed_unseen(original, tmp_path, name):
    folder = shutil.copytree(original, tmp_path / "run")
    file = folder / "report" / name
    text = file.read_text()
    printed = re.search(r"\b\d\d\.\d\d+", text)
    file.write_text(f"{text[: printed.start()]}{float(printed[0]) + 1}{text[printed.end() :]}")
    forge_list(folder)
    findings = verify(folder, resample="all")
    assert ("report-differs", f"report/{name}") in {(each.rule, each.where) for each in findings.findings}


def test_no_page_is_added_to_a_report_unseen(original, tmp_path):
    folder = shutil.copytree(original, tmp_path / "run")
    listing = folder / "report" / "report.json"
    contents = json.loads(listing.read_text())
    contents["files"]["results.html"] = ""
    listing.write_text(json.dumps(contents))
    (folder / "report" / "results.html").write_text("<p>PSNR 99.0</p>")
    forge_list(folder)
    findings = verify(folder, resample="all")
    assert [(each.rule, each.where) for each in findings.findings] == [("report-differs", "report/results.html")]
