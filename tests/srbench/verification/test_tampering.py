"""``verify`` names whatever was changed by hand, and nothing in a folder that nobody touched."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.resources import files

import pytest
import torch
from builders import drawn
from record_runs import forge_list, forge_sums

from srbench.benchmark.run import run
from srbench.files.hashes import sha256_file
from srbench.images.io import encode_png, pixels_sha256, read_uint8, write_png
from srbench.machine.environment import environment
from srbench.reporting.writers.report import write_report
from srbench.run_folder import RunFolderError
from srbench.run_folder.request import RunSpec
from srbench.verification.verify import verify
from srbench.weights.files import load_weights, save_weights

pytestmark = pytest.mark.usefixtures("with_plots")

IMAGE = "images/near/a.png"


@pytest.fixture(scope="module")
def original(tmp_path_factory, srbench, small_models):
    """A finished run with its report. Nobody writes into it."""
    here = tmp_path_factory.mktemp("original")
    for seed, name in enumerate("ab"):
        write_png(here / "photos" / f"{name}.png", drawn(seed, 32, 36))
    models = f"near={small_models}:Nearest,noisy={small_models}:Noisy"
    words = ["--models", models, "--scale", 4, "--data", here / "photos", "--metrics", "psnr,ssim,sigma"]
    done = srbench("run", *words, "--samples", 2, "--workers", 1, "--out", here / "run")
    assert done.exit_code == 0, done.output
    return here / "run"


@pytest.fixture
def copy_of(original, tmp_path):
    """A copy of that run to tamper with: copy_of("name")."""
    return lambda name: shutil.copytree(original, tmp_path / name)


def edit_line(folder, name, is_meant, change):
    """Change the first line of a file that is meant; returns what it holds now."""
    lines = [json.loads(line) for line in (folder / name).read_text().splitlines()]
    line = next(filter(is_meant, lines))
    change(line)
    (folder / name).write_text("".join(f"{json.dumps(each)}\n" for each in lines))
    return line


def change_value(folder):
    edit_line(folder, "rows.jsonl", bool, lambda line: line.update(value=[line["value"][0] + 0.01]))


def change_sigma(folder):
    edit_line(
        folder,
        "rows.jsonl",
        lambda line: line["metric"] == "sigma" and line["model"] == "noisy",
        lambda line: line.update(value=line["value"] + 1),
    )


def change_pixel(folder, image=IMAGE):
    pixels = read_uint8(folder / image)
    pixels[0, 0, 0] ^= 64
    (folder / image).write_bytes(encode_png(pixels))


def change_pixel_and_record(folder):
    """Also the digests of the image, so that the record and its file agree."""
    change_pixel(folder)
    digests = {"pixels": pixels_sha256(read_uint8(folder / IMAGE)), "sha256": sha256_file(folder / IMAGE)}
    edit_line(
        folder,
        "samples.jsonl",
        lambda line: (line["model"], line["image"]) == ("near", "a"),
        lambda line: line.update(outputs=[digests]),
    )


def change_hr(folder):
    change_pixel(folder, "images/hr/a.png")


def change_sum(folder):
    sums = folder / "SHA256SUMS"
    text = sums.read_text()
    place = text.index("  rows.jsonl") - 1
    sums.write_text(f"{text[:place]}{'0' if text[place] != '0' else '1'}{text[place + 1 :]}")


def change_report(folder):
    table = folder / "report" / "table.csv"
    lines = table.read_text().splitlines(keepends=True)
    cells = lines[1].split(",")
    place = next(number for number, cell in enumerate(cells) if "." in cell)
    lines[1] = ",".join([*cells[:place], str(float(cells[place]) + 1), *cells[place + 1 :]])
    table.write_text("".join(lines))
    forge_list(folder)


def change_signature(folder):
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace("PSNR|RGB", "PSNR|Y"))


def change_environment(folder):
    file = folder / "environments.jsonl"
    file.write_text(file.read_text().replace('"device": "cpu"', '"device": "cuda"'))


def add_foreign_line(folder):
    lines = (folder / "samples.jsonl").read_text().splitlines()
    ghost = json.dumps(json.loads(lines[0]) | {"model": "ghost"})
    (folder / "samples.jsonl").write_text("".join(f"{line}\n" for line in [*lines, ghost]))


def remove_line(folder):
    lines = (folder / "rows.jsonl").read_text().splitlines(keepends=True)
    (folder / "rows.jsonl").write_text("".join(lines[:4] + lines[5:]))


def remove_image(folder):
    (folder / IMAGE).unlink()


TAMPERING = {
    change_value: [("file-differs", "rows.jsonl"), ("value-differs", "near a")],
    change_sigma: [("file-differs", "rows.jsonl"), ("value-differs", "noisy-t0.8 a")],
    change_pixel: [("file-differs", IMAGE)],
    change_pixel_and_record: [("record-differs", "near a"), ("sample-differs", "near a")],
    change_hr: [("file-differs", "images/hr/a.png")],
    change_sum: [("file-differs", "rows.jsonl")],
    change_report: [("report-differs", "report/table.csv")],
    change_signature: [("record-differs", "near a"), ("manifest-differs", "PSNR (RGB)")],
    change_environment: [("record-differs", "environments.jsonl")],
    add_foreign_line: [("record-differs", "ghost a")],
    remove_line: [("record-differs", "noisy-t0.8 a")],
    remove_image: [("made-again", IMAGE)],
}
"""What somebody may do to a run, and findings about it: rules and places."""
HIDDEN_BY_SUMS = {("file-differs", "rows.jsonl")}
"""Findings that are gone once SHA256SUMS was made to agree."""


def found_in(folder, **options):
    findings = verify(folder, resample="all", **options)
    return findings.verdict, {(finding.rule, finding.where) for finding in findings.findings}


def test_a_run_that_nobody_touched_is_proven(original, tmp_path):
    findings = verify(original, resample="all")
    assert (findings.findings, findings.verdict, findings.exit_code) == ([], "proven", 0)
    assert (findings.verified, findings.unverified, findings.contradicted) == (12, 0, 0)
    assert (findings.images, findings.images_kept) == (10, 10)
    assert (findings.sampled, findings.tried, findings.items) == (4, 4, 4)
    shutil.copytree(original, tmp_path / "elsewhere")
    assert verify(tmp_path / "elsewhere", resample="all").proven, "anywhere"


def test_everything_that_was_changed_is_named(copy_of):
    for tamper, expected in TAMPERING.items():
        folder = copy_of(tamper.__name__)
        tamper(folder)
        verdict, findings = found_in(folder)
        assert verdict == ("proven" if tamper is remove_image else "contradicted"), tamper
        assert findings >= {*expected}, (tamper, findings)


def test_missing_images_are_made_again_from_dataset_and_models_alone(copy_of):
    """Nothing but the pixels of the records is taken for the missing image, and a link leads nowhere."""
    folder = copy_of("run")
    shutil.rmtree(folder / "images")
    assert found_in(folder)[0] == "proven"
    outside = folder.parent / "outside.png"
    (folder / "images" / "near").mkdir(parents=True)
    (folder / IMAGE).symlink_to(outside)
    found_in(folder)
    assert not outside.exists()
    (folder / IMAGE).unlink()
    record = edit_line(
        folder, "samples.jsonl", bool, lambda line: line["outputs"][0].update(pixels="0" * 64, sha256="0" * 64)
    )
    forge_sums(folder)
    verdict, findings = found_in(folder)
    assert verdict == "contradicted"
    where = f"{record['model']}-t{record['temperature']}" if record["temperature"] else record["model"]
    assert ("sample-differs", f"{where} {record['image']}") in findings
    edit_line(folder, "pairs.jsonl", bool, lambda line: line["hr"].update(pixels="0" * 64))
    forge_sums(folder)
    assert found_in(folder)[1] >= {("not-compared", "images/hr/a.png"), ("request-unknown", "photos")}


def test_sums_that_agree_with_the_change_hide_no_value_and_no_pixel(copy_of):
    for tamper, expected in TAMPERING.items():
        remaining = {*expected} - HIDDEN_BY_SUMS
        if tamper is change_sum:
            continue
        folder = copy_of(tamper.__name__)
        tamper(folder)
        forge_sums(folder)
        _, findings = found_in(folder)
        assert findings >= remaining, (tamper, findings)
        assert remaining, tamper


@pytest.mark.parametrize("samples", [1, 2])
def test_a_column_of_the_suite_is_missed_if_these_images_permit_it(tmp_path, samples):
    """A suite whose tLP needs clips and whose sigma needs two samples; SSIM is removed by hand."""
    write_png(tmp_path / "photos" / "a.png", drawn(0, 32, 36))
    suite, folder = tmp_path / "mine.toml", tmp_path / "run"
    suite.write_text('name = "mine"\nversion = 1\nmetrics = ["psnr", "ssim", "sigma", "tlp"]\n')
    data, out = str(tmp_path / "photos"), str(folder)
    run(RunSpec(("bicubic",), 4, data, suite=str(suite), samples=samples, out=out))
    missed = "its command requests it, but the run has no such column"
    assert missed not in verify(folder).text()
    facts = json.loads((folder / "manifest.json").read_text())
    facts["metrics"] = [metric for metric in facts["metrics"] if metric["name"] != "ssim"]
    facts["invocations"][0]["metrics"].remove("ssim")
    (folder / "manifest.json").write_text(json.dumps(facts))
    assert f"ssim: {missed}" in verify(folder).text()


def test_sums_are_those_that_other_tools_check(original):
    command = ["sha256sum", "-c", "--strict", "SHA256SUMS"]
    done = subprocess.run(command, cwd=original, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
    names = [line.split("  ")[1] for line in (original / "SHA256SUMS").read_text().splitlines()]
    assert names == sorted(names)
    assert len(names) == 10 + 5


def test_a_line_that_is_no_record_is_an_error(copy_of):
    folder = copy_of("damaged")
    with (folder / "samples.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(RunFolderError, match=r"samples.jsonl: line 5 is damaged"):
        verify(folder)


def measured(tmp_path, model="bicubic", data="images", **options):
    """A run of one model, without a report."""
    return run(RunSpec((model,), 4, data, metrics=("psnr",), out=str(tmp_path / "run"), **options)).folder


def test_weights_that_changed(tmp_path):
    """The weights that are stated, and those of a file that the run names."""
    tensors, metadata = load_weights(files("baselines") / "weights" / "rrdb-mini-x4.safetensors")
    path = tmp_path / "mine.safetensors"
    save_weights(path, tensors, metadata)
    write_png(tmp_path / "images" / "a.png", drawn(0, 24, 24))
    folder = measured(tmp_path, f"rrdb:{path}", str(tmp_path / "images"))
    assert verify(folder, resample="all").proven
    manifest = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(manifest.replace('"licence": "', '"licence": "un'))
    forge_sums(folder)
    assert found_in(folder) == ("contradicted", {("manifest-differs", "rrdb-mine")})
    (folder / "manifest.json").write_text(manifest)
    forge_sums(folder)
    save_weights(path, {name: 0.9 * tensor for name, tensor in tensors.items()}, metadata)
    assert found_in(folder) == ("unverified", {("not-sampled", "rrdb-mine"), ("not-sampled", "rrdb-mine a")})
    path.unlink()
    assert found_in(folder) == ("unverified", {("not-sampled", "rrdb-mine")})


def test_another_name_of_the_dataset_is_not_verified(tmp_path):
    """Whoever renames the photographs to a benchmark set can do so everywhere."""
    folder = measured(tmp_path, data="photos", limit=1, crop=32)
    assert verify(folder, resample="all").proven
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["protocol"]["dataset"] = "set5"
    request = manifest["invocations"][0]["request"]
    for forged, where in ((request, "manifest.json"), (request | {"data": "set5"}, "set5"), (None, "bicubic")):
        manifest["invocations"][0]["request"] = forged
        (folder / "manifest.json").write_text(json.dumps(manifest))
        forge_sums(folder)
        assert found_in(folder) == ("unverified", {("request-unknown", where)})


def test_a_relative_folder_of_images_is_found_from_anywhere(tmp_path, monkeypatch):
    for place, seed in (("here", 0), ("there", 1)):
        write_png(tmp_path / place / "images" / "a.png", drawn(seed, 32, 32))
    monkeypatch.chdir(tmp_path / "here")
    folder = measured(tmp_path)
    monkeypatch.chdir(tmp_path / "there")
    assert verify(folder, resample="all").proven
    write_png(tmp_path / "here" / "images" / "a.png", drawn(2, 32, 32))
    assert found_in(folder) == ("unverified", {("request-unknown", "images")})


METRIC = """
import os
import torch
from srbench.interfaces import ImageMetric, MetricInfo


class Half(ImageMetric):
    gpu = True
    info = MetricInfo(name="half", title="Half", direction=0, protocol="0.5")

    def __call__(self, samples, pair):
        return torch.full((len(samples),), 0.5 * (1 + samples.is_meta * float(os.environ["ERROR"])))
"""
METRIC_OF_CLIPS = """
import os
from srbench.interfaces import MetricInfo, SetMetric


class Half(SetMetric):
    gpu = True
    info = MetricInfo(name="half", title="Half", direction=0, protocol="0.5", per="group")

    def __call__(self, outputs):
        assert outputs[0].pair.hr.device == outputs[0].samples.device == outputs[0].first.device
        return 0.5 * (1 + outputs[0].first.is_meta * float(os.environ["ERROR"]))
"""


@pytest.mark.parametrize("metric", [METRIC, METRIC_OF_CLIPS])
def test_rounding_of_another_device_is_no_contradiction(metric, models, tmp_path, monkeypatch):
    """torch's meta device serves as the GPU."""
    (tmp_path / "half.py").write_text(metric)
    write_png(tmp_path / "images" / "clip" / "0.png", drawn(0, 32, 32))
    monkeypatch.setenv("ERROR", "0")
    done = run(
        RunSpec(
            (f"{models}:Nearest",),
            4,
            str(tmp_path / "images"),
            metrics=(f"{tmp_path / 'half.py'}:Half",),
            out=str(tmp_path / "run"),
        )
    )
    monkeypatch.setattr("srbench.verification.verify.choose_device", lambda name: "meta")
    verdicts = []
    for error in ("0", "1e-4", "0.01"):
        monkeypatch.setenv("ERROR", error)
        verdicts.append(verify(done.folder).verdict)
    assert verdicts == ["verified from its files", "unverified", "contradicted"]


@pytest.mark.parametrize(("difference", "verdict"), [({}, "contradicted"), ({"gpu": "another card"}, "unverified")])
def test_rounding_of_another_card_is_no_contradiction(photos, models, tmp_path, monkeypatch, difference, verdict):
    (tmp_path / "half.py").write_text(METRIC.replace("samples.is_meta", "1"))
    monkeypatch.setenv("ERROR", "0")
    metrics = (f"{tmp_path / 'half.py'}:Half",)
    done = run(RunSpec((f"{models}:Nearest",), 4, str(photos), metrics=metrics, limit=1, out=str(tmp_path / "run")))
    monkeypatch.setenv("ERROR", "1e-4")
    monkeypatch.setattr("srbench.verification.samples.environment", lambda device: environment(device) | difference)
    assert verify(done.folder).verdict == verdict


RUDE = """
import torch


class Rude:
    scale = 4
    {at_load}

    def __call__(self, lr):
        {at_call}
        return lr.repeat_interleave(4, -2).repeat_interleave(4, -1)
"""
PATCH = "torch.Tensor.floor = lambda self, *given, **named: self * 0"


@pytest.mark.parametrize("rude", [{"at_call": PATCH, "at_load": ""}, {"at_call": "pass", "at_load": PATCH}], ids=str)
def test_what_one_model_does_to_the_next_is_not_repeated(tmp_path, rude):
    """A model that changes torch spoils bicubic, which runs after it; verify takes them in reverse order."""
    (tmp_path / "rude.py").write_text(RUDE.format(**rude))
    for seed, name in enumerate("ab"):
        write_png(tmp_path / "hr" / f"{name}.png", drawn(seed, 32, 32))
        write_png(tmp_path / "lr" / f"{name}.png", drawn(seed, 8, 8))
    folders = {folder: str(tmp_path / folder) for folder in ("hr", "lr")}
    models = (f"{tmp_path / 'rude.py'}:Rude", "bicubic")
    request = RunSpec(models, 4, None, **folders, metrics=("psnr",), out=str(tmp_path / "run"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "floor", torch.Tensor.floor)  # restores it at the end
        folder = run(request).folder
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "floor", torch.Tensor.floor)
        verdict, findings = found_in(folder)
    assert verdict == "contradicted", findings
    assert findings >= {("sample-differs", "bicubic a"), ("sample-differs", "bicubic b")}


NUDGED = """
import os


class Nudged:
    scale = 4

    def sample(self, lr, n, *, temperature, generator):
        outputs = lr.repeat_interleave(4, -2).repeat_interleave(4, -1).expand(n, -1, -1, -1).clone()
        outputs[:, 0, 0, 0] = 0.5 + float(os.environ["NUDGE"]) / 255
        return outputs
"""


@pytest.mark.parametrize("samples", [2, 8])
def test_an_output_is_equal_or_differs_and_elsewhere_it_may_be_rounded(tmp_path, monkeypatch, samples):
    """Of eight samples five are saved, and these are compared."""
    (tmp_path / "nudged.py").write_text(NUDGED)
    write_png(tmp_path / "images" / "a.png", drawn(0, 32, 32))
    monkeypatch.setenv("NUDGE", "0")
    folder = measured(tmp_path, f"{tmp_path / 'nudged.py'}:Nudged", str(tmp_path / "images"), samples=samples)
    found = []
    for nudge, threads in (("1", {}), ("1", {"threads": "64"}), ("2", {"threads": "64"})):
        monkeypatch.setenv("NUDGE", nudge)
        monkeypatch.setattr(
            "srbench.verification.samples.environment", lambda device, other=threads: environment(device) | other
        )
        findings = verify(folder, resample="all")
        rules = {each.rule for each in findings.findings} - {"not-measured", "depends-on-machine"}
        found.append((findings.verdict, findings.sampled, rules))
        if rules == {"rounded"}:
            kept = min(samples, 5)
            assert f"{kept} pixel values of {kept} outputs are one grey level off" in findings.text()
            assert "only the machine of the record can prove it (threads 1, here 64)" in findings.text()
    assert found == [
        ("contradicted", 0, {"sample-differs"}),
        ("unverified", 0, {"rounded"}),
        ("contradicted", 0, {"sample-differs"}),
    ]
    assert "by up to 2 grey levels" in findings.text()


@pytest.mark.parametrize(
    ("factor", "here", "verdict"),
    [
        (1 + 1e-7, {}, "contradicted"),
        (1 + 4e-6, {"threads": "64"}, "verified from its files"),
        (1 + 8e-6, {"threads": "64"}, "contradicted"),
    ],
)
def test_no_value_moves_as_far_as_a_tie(copy_of, monkeypatch, factor, here, verdict):
    """Else the values of two equal models, moved apart, make one significantly better."""
    monkeypatch.setattr("srbench.verification.samples.environment", lambda device: environment(device) | here)
    folder = copy_of("run")
    edit_line(
        folder,
        "rows.jsonl",
        lambda line: line["metric"] == "psnr",
        lambda line: line.update(value=[number * factor for number in line["value"]]),
    )
    forge_sums(folder)
    write_report([folder])
    findings = verify(folder, resample="all")
    assert findings.verdict == verdict, findings.text()
