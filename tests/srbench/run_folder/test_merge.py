"""A run in parts, and the parts as one run."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs
from record_runs import forge_sums, timeless_records

from srbench.benchmark.run import run, score_run
from srbench.images.io import write_png
from srbench.reporting.writers import report
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.journal import Journal
from srbench.run_folder.manifest import read_manifest
from srbench.run_folder.merge import merge
from srbench.run_folder.records import append
from srbench.verification.verify import verify
from srbench.voting.records import Question, Shown, Vote, read_votes


@pytest.fixture
def spec(changed, photos):
    """Four images, of which c is damaged."""
    content = (photos / "c.png").read_bytes()
    (photos / "c.png").write_bytes(content[: len(content) // 2])
    return changed(limit=None)


@pytest.fixture
def shards(spec, tmp_path):
    """Three finished shards of the run: a and d, b, c."""
    folders = [tmp_path / f"shard{number}" for number in (1, 2, 3)]
    for number, folder in enumerate(folders, 1):
        run(replace(spec, shard=f"{number}/3", out=str(folder)))
    return folders


def images_of(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in (folder / "images").rglob("*.png")}


def assert_equal(folder, other):
    assert timeless_records(folder) == timeless_records(other)
    assert images_of(folder) == images_of(other)
    one, two = (replace(read_manifest(each), invocations=()) for each in (folder, other))
    assert one == two


def test_merged_shards_are_the_run(spec, shards, tmp_path, command):
    whole = run(spec).folder
    for folder in shards[:2]:
        assert verify(folder, resample="all").proven
    merged = merge(shards, tmp_path / "merged")
    assert_equal(merged, whole)
    for folder in (merged, whole):
        findings = verify(folder, resample="all")
        assert findings.unverified == findings.contradicted == 0
        assert {(each.rule, each.where[-1]) for each in findings.findings} == {("incomplete", "c")}, "c is damaged"
    assert [invocation.images for invocation in read_manifest(merged).invocations] == [("a", "d"), ("b",), ("c",)]
    again = run(replace(spec, out=str(merged)))
    assert (again.sampled, again.scored, len(again.failures)) == (0, 0, 1), "c is still damaged"
    for folder in (merged, whole):
        assert command("report", folder, "--format", "csv").code == 0
    assert (merged / "report" / "rows.csv").read_bytes() == (whole / "report" / "rows.csv").read_bytes()


def test_a_report_of_shards_is_that_of_the_run(spec, shards, tmp_path, command):
    whole = run(spec).folder
    assert command("report", *shards[:2], "--out", tmp_path / "shards").code == 0
    assert command("report", whole, "--out", tmp_path / "whole").code == 0
    for name in ("table.csv", "rows.csv"):
        assert (tmp_path / "shards" / name).read_text() == (tmp_path / "whole" / name).read_text()
    missing = "This is a part of a run: results of shard 3/3 are missing, for 1 of 4 images."
    assert [missing in (tmp_path / name / "report.md").read_text() for name in ("shards", "whole")] == [True, False]
    refused = command("report", shards[0], whole, "--out", tmp_path / "mixed")
    assert (refused.code, "images: nothing against" in refused.err) == (1, True)


def test_some_shards_are_completed_by_the_command_of_all(spec, shards, tmp_path):
    with pytest.warns(UserWarning, match="results of shard 2/3 are missing, for 1 of 4 images of photos; merge"):
        some = merge(shards[::2], tmp_path / "some")
    completed = run(replace(spec, out=str(some)))
    assert (completed.sampled, completed.items) == (3, 12), "three settings of b"
    assert_equal(some, run(spec).folder)


@pytest.mark.filterwarnings("default:results of shard")
def test_missing_shards_are_named(spec, shards, tmp_path, command):
    """By merge, by the report and by verify; not by a report of all shards, nor after the command of all images."""
    missing = "results of shards 2/3, 3/3 are missing, for 2 of 4 images"
    for words in (["merge", shards[0], "--out", "one"], ["merge", *shards[:2], "--out", "two"]):
        done = command(*words)
        assert done.code == 0
        assert f"warning: {missing} of photos; merge these shards, too, or run the command without --shard" in done.err
        assert f"> This is a part of a run: {missing}." in (tmp_path / words[-1] / "report/report.md").read_text()
        missing = "results of shard 3/3 are missing, for 1 of 4 images"
    missing = f"unverified (incomplete): photos: {missing}"
    done = command("verify", "two", "--resample", "all")
    assert (done.code, missing in done.out) == (3, True), done.out
    (tmp_path / "photos/c.png").write_bytes((tmp_path / "photos/b.png").read_bytes())
    for folder in (shards[2], "two"):
        request = replace(spec, out=str(folder), shard="3/3" if folder == shards[2] else None)
        assert not run(request).failures
    assert "results of shard" not in command("merge", *shards, "--out", "three").err
    for folder in ("two", "three"):
        assert command("report", folder).code == 0
        assert command("verify", folder, "--resample", "all").code == 0
        assert "part of a run" not in (tmp_path / folder / "report/report.md").read_text()
    assert verify(shards[1], resample="all").proven, "a shard is what its command requested"


def test_runs_of_overlapping_images_and_other_models_are_merged(spec, shards, tmp_path):
    whole = run(spec).folder
    merged = merge([*shards, whole], tmp_path / "merged")
    assert_equal(merged, whole)
    keys = [json.loads(line)["key"] for line in (merged / "rows.jsonl").read_text().splitlines()]
    assert len(set(keys)) == len(keys) == 27
    parts = [run(replace(spec, models=(model,), out=str(tmp_path / model[:4]))).folder for model in spec.models]
    assert_equal(merge(parts, tmp_path / "models"), whole)


def test_what_does_not_go_together_is_refused(spec, shards, tmp_path, models, photos, draw_image):
    def refused(match, *folders, out="merged"):
        with pytest.raises(RunFolderError, match=match):
            merge([*folders], tmp_path / out)
        assert not (tmp_path / "merged").exists()
        assert not list(tmp_path.glob(".merged*"))

    few = replace(spec, models=spec.models[:1], limit=1, out=str(tmp_path / "few"))
    other_seed = run(replace(few, seed=1)).folder
    refused(
        r"few: cannot be merged with .*shard1, which holds results of seed 0, not of seed 1$", shards[0], other_seed
    )
    other_scale = run(replace(few, models=("near=bicubic",), scale=8, out=str(tmp_path / "x8"))).folder
    refused(
        "x8: cannot be merged with .*shard1, which holds results of scale 4, not of scale 8$", shards[0], other_scale
    )
    refused("already exists, and is not the merge of these folders; choose another --out", *shards, out="shard1")

    facts = json.loads((shards[1] / "manifest.json").read_text())
    facts["invocations"][-1]["finished"] = None
    unfinished = shutil.copytree(shards[1], tmp_path / "unfinished")
    (unfinished / "manifest.json").write_text(json.dumps(facts))
    refused("unfinished: a command did not finish; run it again: srbench run .* --shard 2/3", unfinished)

    other_code = shutil.copytree(shards[1], tmp_path / "other")
    facts = json.loads((other_code / "manifest.json").read_text())
    facts["metrics"][0]["digest"] = "other"
    (other_code / "manifest.json").write_text(json.dumps(facts))
    forge_sums(other_code)
    says = r"other: cannot be merged with .*shard2, which measured PSNR \(RGB\) with other code; run one of them again"
    refused(says, shards[1], other_code)

    before = run(replace(few, out=str(tmp_path / "before"))).folder
    write_png(photos / "a.png", draw_image(9, 32, 32))
    other_image = run(replace(few, out=str(tmp_path / "image"))).folder
    refused(r"a: HR or LR in .*image differs from that in .*before", before, other_image)
    models.write_text(models.read_text() + "\n\nCHANGED = 1\n")
    other_weights = run(replace(few, out=str(tmp_path / "weights"))).folder
    refused(r"image, which has near with other code or weights; run one of them again", other_image, other_weights)


def edit(path, old, new):
    """Replace a text in a file, which has to have it."""
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new, 1))


def change_value(run, factor=2.0):
    """Multiply the first PSNR in a run folder; SHA256SUMS stays as it was."""
    lines = [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()]
    line = next(line for line in lines if line["metric"] == "psnr")
    line["value"][0] *= factor
    (run / "rows.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def change_value_without_sums(run):
    change_value(run)
    (run / "SHA256SUMS").unlink()


def change_value_without_its_sum(run):
    change_value(run)
    lines = (run / "SHA256SUMS").read_text().splitlines(keepends=True)
    (run / "SHA256SUMS").write_text("".join(line for line in lines if "rows.jsonl" not in line))


def change_value_without_commands(run):
    """Without commands in the manifest, no record is of a finished command."""
    change_value(run)
    facts = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(facts | {"invocations": []}))


FORGERIES = {
    "a value": (change_value, "rows.jsonl changed since srbench wrote SHA256SUMS; restore what was changed"),
    "a value, no SHA256SUMS": (change_value_without_sums, "SHA256SUMS: is missing or damaged; restore it"),
    "a value, no line in SHA256SUMS": (change_value_without_its_sum, "rows.jsonl changed since srbench wrote"),
    "a value, no commands": (change_value_without_commands, "manifest.json, rows.jsonl changed since srbench wrote"),
    "outliers": (
        lambda run: edit(run / "samples.jsonl", '"outliers": 0', '"outliers": 1'),
        "samples.jsonl changed since",
    ),
    "the size before the crop": (
        lambda run: edit(run / "pairs.jsonl", '"uncropped": null', '"uncropped": [99, 99]'),
        "pairs.jsonl changed since",
    ),
    "the title of a metric": (lambda run: edit(run / "manifest.json", "PSNR (RGB)", "PSNR"), "manifest.json changed"),
    "records deleted": (lambda run: (run / "rows.jsonl").unlink(), "rows.jsonl changed since"),
    "a sum": (
        lambda run: edit(run / "SHA256SUMS", "  images/hr/a.png", "  images/hr/x.png"),
        "images/hr/x.png changed",
    ),
    "an image": (
        lambda run: shutil.copy(run / "images/near/b.png", run / "images/near/a.png"),
        "images/near/a.png: does not match its record; see srbench verify",
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("place", [0, 1], ids=["first", "second"])
def test_edited_folders_are_refused(finished, tmp_path, command, forgery, place):
    """Whether the edited folder is the first, or a copy of it of which nothing would be taken."""
    forge, says = FORGERIES[forgery]
    folders = [finished, shutil.copytree(finished, tmp_path / "copy")]
    forge(folders[place])
    before = files_of(folders[place])
    done = command("merge", *folders, "--out", "merged")
    assert (done.code, len(done.err.splitlines())) == (1, 1), done.err
    assert str(folders[place]) in done.err
    assert says in done.err
    assert files_of(folders[place]) == before
    assert not (tmp_path / "merged").exists()


def test_a_missing_image_is_refused(finished, tmp_path):
    (finished / "images/near/a.png").unlink()
    with pytest.raises(RunFolderError, match=r"near/a.png: is missing; restore it, or repeat the command of its run"):
        merge([finished], tmp_path / "merged")


def test_copies_that_contradict_each_other_are_refused(finished, tmp_path):
    """Also if whoever edited a value wrote SHA256SUMS anew; in either order, so that none of them wins."""
    copy = shutil.copytree(finished, tmp_path / "copy")
    change_value(copy, 1 + 1e-7)
    forge_sums(copy)
    assert_equal(merge([finished, copy], tmp_path / "close"), finished)
    change_value(copy, 2.0)
    forge_sums(copy)
    for one, other in ((finished, copy), (copy, finished)):
        says = (
            rf"{other}: PSNR \(RGB\) of near on a is .*, and .* in {one}; check both with srbench verify, and "
            r"merge only"
        )
        with pytest.raises(RunFolderError, match=says):
            merge([one, other], tmp_path / "merged")
        assert not (tmp_path / "merged").exists()


def test_copies_of_a_metric_of_the_machine_may_differ(finished, tmp_path):
    score_run(finished, ["runtime"])
    copy = shutil.copytree(finished, tmp_path / "copy")
    lines = [json.loads(line) for line in (copy / "rows.jsonl").read_text().splitlines()]
    lines = [line | {"value": line["value"] * 2} if line["metric"] == "runtime" else line for line in lines]
    (copy / "rows.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    forge_sums(copy)
    assert_equal(merge([finished, copy], tmp_path / "merged"), finished)


def files_of(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def killed(moment, merging):
    """Call ``merging`` in a process that ends at its first call of ``moment``, as by a kill."""
    owner, name = moment
    child = os.fork()
    if child == 0:
        setattr(owner, name, lambda *given, **named: os._exit(9))
        merging()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.parametrize(
    "moment", [(shutil, "copyfile"), (Journal, "finish"), (Path, "replace"), (report, "write_report")]
)
def test_a_killed_merge_can_be_repeated(moment, shards, tmp_path, command):
    words = ["merge", *shards, "--out", "merged"]
    killed(moment, lambda: command(*words))
    assert command(*words).code == 0
    assert command("merge", *shards, "--out", "other").code == 0
    merged, other = (files_of(tmp_path / name) for name in ("merged", "other"))
    assert {name: content for name, content in merged.items() if name.parts[0] != "report"} == {
        name: content for name, content in other.items() if name.parts[0] != "report"
    }
    assert (tmp_path / "merged" / "report" / "report.md").is_file()
    assert command(*words).code == 0, "as often as one likes"
    refused = command("merge", *shards[:2], "--out", "merged")
    assert (refused.code, "merged: already exists, and is not the merge of these folders" in refused.err) == (1, True)


def test_a_read_only_disk_is_named_by_the_merged_folder(shards, command, monkeypatch):
    def refuse(path, *mode):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(os, "mkdir", refuse)
    assert command("merge", *shards, "--out", "merged").err.splitlines()[-1] == "srbench: merged: Read-only file system"


def test_votes_are_merged(shards, tmp_path):
    shown = [Shown(name, "0" * 64) for name in ("hr", "near", "noisy-t0.3")]
    votes = [Vote(rater, "then", Question("a", (0, 0, 8, 8), *shown), "left") for rater in ("Ann", "Ben", "Cy")]
    append(shards[0], votes[:2])
    append(shards[1], votes[2:])
    (shards[0] / "votes.jsonl").write_text((shards[0] / "votes.jsonl").read_text().removesuffix("\n"))
    with (shards[1] / "votes.jsonl").open("a") as file:
        file.write('{"rater": "torn')
    merged = merge(shards, tmp_path / "merged")
    assert read_votes(merged) == votes
    assert (merged / "votes.jsonl").read_text().count("\n") == 3
    append(shards[2], [structs.replace(votes[0], rater="Di")])
    with pytest.raises(RunFolderError, match="merged: already exists, and is not the merge of these folders"):
        merge(shards, tmp_path / "merged")


def unfinished(folder, number):
    """Mark a command of a run folder as killed."""
    facts = json.loads((folder / "manifest.json").read_text())
    facts["invocations"][number]["finished"] = None
    (folder / "manifest.json").write_text(json.dumps(facts))
    return facts["invocations"][number]["command"]


@pytest.mark.filterwarnings("ignore:results of shard")
def test_a_killed_command_is_refused_until_a_command_finishes_its_work(spec, shards, tmp_path):
    part = replace(spec, shard="1/3", out=str(shards[0]))
    killed = unfinished(shards[0], 0)
    (shards[0] / "samples.jsonl").write_text("")
    run(replace(part, models=spec.models[:1]))
    message = f"shard1: a command did not finish; run it again: {re.escape(killed)}$"
    with pytest.raises(RunFolderError, match=message):
        merge(shards, tmp_path / "merged")
    run(part)
    findings = verify(merge(shards[:2], tmp_path / "merged"), resample="all").findings
    assert [each.text for each in findings] == ["results of shard 3/3 are missing, for 1 of 4 images"]


def test_a_command_killed_after_its_last_record_is_finished_by_its_repetition(spec, shards, tmp_path):
    part = replace(spec, shard="1/3", out=str(shards[0]))
    run(replace(part, models=spec.models[:1], temperature=(0.5,)))
    unfinished(shards[0], 0)
    run(replace(part, models=spec.models[:1]))
    with pytest.raises(RunFolderError, match="shard1: a command did not finish"):
        merge(shards, tmp_path / "merged")
    run(part)
    merge(shards, tmp_path / "merged")


@pytest.mark.filterwarnings("ignore:results of shard")
def test_a_metric_that_only_one_folder_has_is_left_out(shards, tmp_path):
    score_run(shards[1], ["lr_psnr"])
    with pytest.warns(UserWarning, match="LR-PSNR: left out, because some folders lack it; srbench score adds it"):
        both = merge(shards[:2], tmp_path / "both")
    assert [metric.name for metric in RunFolder.read(both).manifest.metrics] == ["psnr", "ssim", "sigma"]


def test_the_command_line(spec, tmp_path, command):
    words = ["--models", spec.models[1], "--scale", 4, "--data", spec.data, "--metrics", "psnr"]
    for number in (1, 2):
        done = command("run", *words, "--shard", f"{number}/2", "--out", f"part{number}")
        assert done.code == (1 if number == 1 else 0), "the damaged image is of the first"
        assert "combine all shards with srbench merge" in done.out
    assert "Nothing is left to do." in command("run", *words, "--shard", "2/2", "--out", "part2", "--dry-run").out
    merged = command("merge", "part1", "part2", "--out", "all")
    assert merged.code == 0
    assert "all/report/report.md" in merged.out
    assert command("verify", "all").code == 3, "an image is missing"
    for shard, out, reason, code in [
        ("0/0", "x", "is not a shard; give 1/4 to 4/4", 2),
        ("4/3", "x", "is not a shard; give 1/4 to 4/4", 2),
        ("1", "x", "is not a shard; give 1/4 to 4/4", 2),
        ("1/3", None, "a shard needs a folder of its own", 1),
    ]:
        done = command("run", *words, "--shard", shard, *([] if out is None else ["--out", out]))
        assert (done.code, len(done.err.strip().splitlines())) == (code, 1)
        assert reason in done.err
