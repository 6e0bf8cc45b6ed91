"""``verify`` finds and names what was changed, and passes what was not."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from record_runs import forge_sums
from srbench.benchmark.findings import CODES, RULES, SEVERITIES, Findings

from srbench.benchmark.run import run
from srbench.files.hashes import sha256_file
from srbench.images.io import encode_png, pixels_sha256, read_uint8, write_png
from srbench.plugins.code_digest import code_digest
from srbench.run_folder import RunFolderError
from srbench.run_folder.verified import read_verified
from srbench.verification.findings import write_verified
from srbench.verification.verify import verify
from srbench.weights.files import load_weights, save_weights


def lines_of(path):
    return path.read_text().splitlines()


def write_lines(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines))


def edit(path, is_meant, change):
    """Change the first line that is meant; returns what it holds now."""
    lines = [json.loads(line) for line in lines_of(path)]
    change(line := next(filter(is_meant, lines)))
    write_lines(path, map(json.dumps, lines))
    return line


def faults(folder, **options):
    found = verify(folder, **options)
    assert found.verdict == "contradicted"
    return "\n".join(found.of("contradicted"))


def left(folder, **options):
    found = verify(folder, **options)
    assert found.verdict == "unverified"
    return "\n".join(found.of("unverified"))


def test_a_fresh_run_is_proven(finished):
    found = verify(finished, resample="all")
    assert (found.findings, found.verdict) == ([], "proven")
    assert (found.verified, found.unverified, found.contradicted) == (27, 0, 0)
    assert (found.images, found.images_kept) == (21, 21), "6 of pairs, 3 of near, 12 of noisy"
    assert (found.sampled, found.sampled_all, found.items) == (9, 9, 9)


def test_every_rule_has_a_line_in_the_documentation():
    text = (Path(__file__).parents[3] / "docs" / "verify.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| SRB")]
    assert lines == [f"| {name} | {rule.title} |" for name, rule in RULES.items()]
    assert all(name[3] == str(SEVERITIES.index(rule.severity)) for name, rule in RULES.items())
    assert all(f"| {verdict} |" in text for verdict in CODES)


def test_what_only_sampling_tells_is_left_unverified(finished):
    found = verify(finished, resample=4)
    assert (found.verified, found.unverified) == (27 - 9 + 4, 5), "sigma is measured of what is sampled again"
    assert not found.proven
    assert [(one.rule, one.where) for one in found.findings] == [("SRB104", "sigma")]
    assert "22 of 27 values verified, 5 unverified, 0 contradicted" in found.text()
    assert "4 of 9 items sampled again: unverified" in found.text()
    reason = "it sees outputs as the model returned them; use --resample all (SRB104)"
    assert f"\n5 of 27 values are not measured again:\n  5 of sigma: {reason}\n" in found.text()


def test_sigma_of_one_output_is_verified_only_if_it_is_sampled_again(changed):
    folder = run(changed(models=("bicubic",), metrics=("sigma",), limit=2)).folder
    found = verify(folder, resample=1)
    assert (found.verified, found.unverified, found.verdict) == (1, 1, "unverified")
    assert verify(folder, resample="all").proven


def test_values_may_be_proven_and_their_origin_not(changed):
    folder = run(changed(metrics=("psnr",), limit=1)).folder
    found = verify(folder)
    assert (found.findings, found.verdict) == ([], "values proven from their images")
    assert "Not checked: that the named models made the images" in found.text()


def test_reasons_are_counted_the_most_first():
    found = Findings(Path("run"), verified=1)
    for place in "abcde":
        found.leave("SRB103", f"near {place}", "its images are missing or have changed")
    found.leave("SRB104", "sigma", "it sees outputs as the model returned them")
    assert found.text().splitlines()[1:] == [
        "6 of 7 values are not measured again:",
        "  5 of near a, near b, near c and 2 more: its images are missing or have changed (SRB103)",
        "  1 of sigma: it sees outputs as the model returned them (SRB104)",
    ]
    assert len(found.facts()["findings"]) == 6, "JSON has every place"


def test_samples_that_were_not_kept_leave_their_values_unverified(changed):
    """Seven samples, five of them kept: a value of the set cannot be measured, those of the kept ones are."""
    folder = run(changed(metrics=("psnr", "sigma"), samples=7, limit=1, models=(changed().models[1],))).folder
    found = verify(folder)
    assert (found.verified, found.unverified, found.contradicted, found.verdict) == (0, 4, 0, "unverified")
    assert {one.rule for one in found.findings} == {"SRB103", "SRB104", "SRB114"}
    assert verify(folder, resample="all").proven
    path = folder / "rows.jsonl"
    lines = [json.loads(line) for line in lines_of(path)]
    lines[0]["value"][6] = 99.0
    write_lines(path, map(json.dumps, lines))
    forge_sums(folder)
    assert verify(folder).verdict == "unverified"
    lines[0]["value"][4] = 99.0
    write_lines(path, map(json.dumps, lines))
    forge_sums(folder)
    assert "SRB005 contradicted: noisy-t0.3 a: PSNR is " in faults(folder)


def test_sums_are_those_that_other_tools_check(finished):
    done = subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=finished, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    names = [line.split("  ")[1] for line in lines_of(finished / "SHA256SUMS")]
    assert names == sorted(names)
    assert len(names) == 21 + 5


def test_a_flipped_bit_in_an_image(finished):
    path = finished / "images" / "noisy-t0.8" / "a_sample1.png"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "images/noisy-t0.8/a_sample1.png: does not match its record" in faults(finished)


def test_an_edited_value(finished):
    edit(finished / "rows.jsonl", bool, lambda row: row.update(value=[value + 0.01 for value in row["value"]]))
    assert "rows.jsonl: is missing or does not match SHA256SUMS" in faults(finished)
    forge_sums(finished)
    assert "near a: PSNR is " in faults(finished)


def test_an_edited_value_of_what_only_sampling_tells(finished):
    edit(
        finished / "rows.jsonl",
        lambda row: row["metric"] == "sigma" and row["value"],
        lambda row: row.update(value=row["value"] + 1),
    )
    forge_sums(finished)
    assert "sigma is" in faults(finished, resample="all")


def test_swapped_images_with_their_records(finished):
    """Files and digests agree: then the values do not."""
    samples = finished / "samples.jsonl"
    record = edit(samples, lambda one: one["temperature"] == 0.8, lambda one: one["outputs"].reverse())
    files = [finished / "images" / "noisy-t0.8" / f"{record['image']}_sample{k}.png" for k in (0, 1)]
    contents = [file.read_bytes() for file in files]
    for file, content in zip(files, reversed(contents), strict=True):
        file.write_bytes(content)
    forge_sums(finished)
    assert f"noisy-t0.8 {record['image']}: its PSNR is missing from rows.jsonl" in faults(finished)


def test_another_image_with_a_record_to_match(finished):
    """A better image in place of the model's: only sampling again tells."""
    hr = read_uint8(finished / "images" / "hr" / "a.png")
    path = finished / "images" / "near" / "a.png"
    path.write_bytes(encode_png(hr))
    outputs = [{"pixels": pixels_sha256(hr), "sha256": sha256_file(path)}]
    edit(
        finished / "samples.jsonl",
        lambda one: (one["model"], one["image"]) == ("near", "a"),
        lambda one: one.update(outputs=outputs),
    )
    forge_sums(finished)
    found = faults(finished, resample="all")
    assert "near a: sampled again" in found


@pytest.mark.parametrize("file", ["rows.jsonl", "samples.jsonl"])
def test_a_deleted_line(finished, file):
    lines = lines_of(finished / file)
    gone = json.loads(lines.pop(4))
    write_lines(finished / file, lines)
    forge_sums(finished)
    found = faults(finished)
    assert gone["image"] in found
    assert "is missing" in found


def test_a_deleted_image_and_a_deleted_pair(finished):
    (finished / "images" / "near" / "b.png").unlink()
    (finished / "images" / "hr" / "c.png").unlink()
    found = left(finished, resample="all")
    assert "SRB102 unverified: images/near/b.png: is missing" in found
    assert "SRB103 unverified: c: 9 values not measured again: LR or HR is missing or has changed" in found
    assert verify(finished).verified == 6 + 4, "PSNR and SSIM of a, and of b but for near"


def test_lines_of_nothing_that_was_asked_for(finished):
    path = finished / "samples.jsonl"
    row = json.loads(lines_of(path)[0]) | {"model": "ghost"}
    write_lines(path, [*lines_of(path), json.dumps(row)])
    forge_sums(finished)
    assert "samples.jsonl: ghost a is not planned in the manifest" in faults(finished)
    write_lines(path, [*lines_of(path), "{}"])
    with pytest.raises(RunFolderError, match=r"samples.jsonl: line \d+ is damaged"):
        verify(finished)


def test_changed_weights(tmp_path, changed):
    packaged = files("baselines") / "weights" / "rrdb-mini-x4.safetensors"
    tensors, metadata = load_weights(packaged)
    path = tmp_path / "mine.safetensors"
    save_weights(path, tensors, metadata)
    folder = run(changed(models=(f"rrdb:{path}",), metrics=("psnr",), limit=1)).folder
    assert verify(folder, resample="all").proven
    manifest = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(manifest.replace('"licence": "', '"licence": "un'))
    forge_sums(folder)
    assert "SRB007 contradicted: rrdb-mine: its weights are sha256" in faults(folder)
    (folder / "manifest.json").write_text(manifest)
    forge_sums(folder)
    save_weights(path, {name: 0.9 * tensor for name, tensor in tensors.items()}, metadata)
    found = verify(folder)
    assert found.verdict == "values proven from their images"
    assert "rrdb-mine: its code or parameters have changed since it was sampled; its weights are sha256" in found.text()
    assert "SRB109 unverified: rrdb-mine a: sampled again" in left(folder, resample="all")


def test_a_grown_folder_of_which_one_model_alone_is_run(changed, draw_image):
    """Rows of the other model are honest: of fewer images, and of one that was replaced since, which a note says."""
    spec = changed(metrics=("psnr",), limit=None, temperature=(0.8,))
    folder = run(spec).folder
    for seed, name in enumerate(["0", "z"], 20):
        write_png(Path(spec.data) / f"{name}.png", draw_image(seed, 32, 32))
    only = replace(spec, models=spec.models[1:])
    run(replace(only, limit=2))
    found = verify(folder, resample="all")
    assert (found.findings, found.verdict, found.items) == ([], "proven", 4 + 5)
    run(only)
    found = verify(folder, resample="all")
    assert (found.findings, found.verdict, found.items) == ([], "proven", 4 + 6)
    write_png(Path(spec.data) / "a.png", draw_image(30, 32, 32))
    run(only)
    found = verify(folder, resample="all")
    assert found.of(*SEVERITIES) == [
        "SRB203 note: near a: left out, as its code, weights or images are not those of the manifest"
    ]
    assert (found.verdict, found.items) == ("proven", 3 + 6)


def test_an_environment_that_is_not_its_own(finished):
    path = finished / "environments.jsonl"
    path.write_text(path.read_text().replace('"device": "cpu"', '"device": "cuda"'))
    forge_sums(finished)
    assert "is not the key of its facts" in faults(finished)
    path.write_text("")
    forge_sums(finished)
    assert "it lacks an environment that other lines refer to" in faults(finished)


@pytest.mark.parametrize("file", ["rows.jsonl", "manifest.json"])
def test_another_protocol_than_that_of_the_metric(finished, file):
    path = finished / file
    path.write_text(path.read_text().replace("PSNR|RGB", "PSNR|Y"))
    forge_sums(finished)
    assert "SRB008 contradicted: " in faults(finished)


def test_a_count_of_samples_that_run_away(finished):
    path = finished / "samples.jsonl"
    path.write_text(path.read_text().replace('"runaway": 0', '"runaway": 1'))
    forge_sums(finished)
    assert "near a: 0 samples run away, but its record has 1" in faults(finished, resample="all")


METRIC = """
import torch

from srbench.interfaces import MetricFacts

SHIFT = 0.0


class Shifted:
    facts = MetricFacts(name="shifted", title="shifted", direction=1, protocol="a test", signature="v1")

    def __call__(self, samples, pair):
        return (samples - pair.hr).abs().mean(dim=(1, 2, 3)) + SHIFT
"""


def test_a_changed_source_of_a_metric(tmp_path_factory, changed):
    path = tmp_path_factory.mktemp("metrics") / "metric.py"
    path.write_text(METRIC)
    folder = run(changed(metrics=("psnr", f"{path}:Shifted"))).folder
    assert verify(folder).findings == []
    path.write_text(METRIC + "# no change of a number\n")
    code_digest.cache_clear()
    found = verify(folder)
    assert found.of(*SEVERITIES) == ["SRB205 note: shifted: its source has changed since it was measured"]
    path.write_text(METRIC.replace("SHIFT = 0.0", "SHIFT = 0.5"))
    code_digest.cache_clear()
    assert "SRB005 contradicted: near a: shifted is" in faults(folder)
    path.unlink()
    code_digest.cache_clear()
    assert "SRB105 unverified: shifted: cannot be measured again" in left(folder)


def test_a_copied_folder_is_proven_elsewhere(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "elsewhere")
    assert verify(tmp_path / "elsewhere", resample="all").proven


@pytest.mark.filterwarnings("ignore:.*cannot tell")
def test_a_model_that_cannot_tell_whether_it_has_changed(tmp_path, command, draw_image):
    write_png(tmp_path / "hr/a.png", draw_image(0, 64, 64))
    code = "class Count:\n    scale, calls = 4, 0\n    def __call__(self, lr):\n        self.calls += 1\n"
    (tmp_path / "m.py").write_text(code + "        return lr.repeat_interleave(4, 2).repeat_interleave(4, 3)\n")
    out = tmp_path / "run"
    command(
        "run",
        "--models",
        f"{tmp_path}/m.py:Count",
        "--scale",
        "4",
        "--data",
        tmp_path / "hr",
        "--metrics",
        "psnr",
        "--out",
        out,
    )
    assert [one.where for one in verify(out).findings if one.rule == "SRB209"] == ["Count"]


def test_the_command(finished, command):
    done = command("verify", finished, "--resample", "all")
    assert done.code == 0
    assert "21 of 21 images" in done.out
    assert json.loads(command("verify", finished, "--resample", "all", "--format", "json").out)["proven"] is True
    assert command("verify", finished, "--resample", 2).code == 3, "sigma of seven items"
    assert command("verify", finished, "--allow-unverified").code == 0
    assert "'some' is neither a number" in command("verify", finished, "--resample", "some").err
    image = finished / "images" / "near" / "a.png"
    image.unlink()
    done = command("verify", finished, "--format", "json")
    assert done.code == 3
    facts = json.loads(done.out)
    assert (facts["verdict"], facts["verified"], facts["unverified"]) == ("unverified", 16, 11)
    assert facts["findings"][0] == {
        "severity": "unverified",
        "rule": "SRB102",
        "where": "images/near/a.png",
        "text": "is missing",
    }
    image.write_bytes(b"")
    assert command("verify", finished, "--allow-unverified").code == 1


def test_a_weaker_check_replaces_what_was_repaired_and_nothing_stronger(finished, command):
    image = finished / "images" / "near" / "a.png"
    content = image.read_bytes()
    image.write_bytes(b"")
    assert command("verify", finished, "--resample", "all").code == 1
    image.write_bytes(content)
    assert command("verify", finished, "--allow-unverified").code == 0
    assert read_verified(finished).verdict == "unverified"
    assert command("verify", finished, "--resample", "all").code == 0
    assert command("verify", finished, "--allow-unverified").code == 0
    assert (read_verified(finished).verdict, read_verified(finished).sampled) == ("proven", 9)


def test_a_plain_check_does_not_undo_what_sampling_has_found(finished):
    strong = Findings(finished, verified=9, sampled_all=9, items=9)
    strong.add("SRB006", "near a", "sampled again, it is a different image")
    write_verified(strong)
    write_verified(Findings(finished, verified=9, items=9))
    assert read_verified(finished).verdict == "contradicted"
