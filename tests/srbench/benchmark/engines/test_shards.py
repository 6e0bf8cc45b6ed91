"""A run in parts, anywhere, and the parts as one run."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from srbench.benchmark.run import run, score_run
from srbench.images.io import write_png
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.manifest import read_manifest
from srbench.run_folder.merge import merge
from srbench.verification.verify import verify


@pytest.fixture
def shards(spec, tmp_path):
    """Three finished shards of the run."""
    folders = [tmp_path / f"shard{number}" for number in (1, 2, 3)]
    for number, folder in enumerate(folders, 1):
        outcome = run(replace(spec, shard=f"{number}/3", out=str(folder)))
        assert outcome.items == 8, "four settings of two images"
    return folders


def test_merged_shards_are_the_run(spec, shards, results, tmp_path, command):
    whole = run(spec).folder
    for folder in shards:
        found = verify(folder, resample=2)
        assert found.holds, found.text()
        assert len(RunFolder.read(folder).known) == 2
    merged = merge(shards, tmp_path / "merged")
    assert results(merged) == results(whole)
    assert verify(merged, resample=5).holds
    asked = [one.images for one in read_manifest(merged).invocations]
    assert asked == [("a", "d"), ("b", "e"), ("c", "f")]
    again = run(replace(spec, models=spec.models[:2], out=str(merged)))
    assert (again.sampled, again.scored) == (0, 0)
    for folder in (merged, whole):
        assert command("report", folder, "--format", "csv").code == 0
    assert (merged / "report" / "rows.csv").read_bytes() == (whole / "report" / "rows.csv").read_bytes()


def test_a_report_of_shards_is_that_of_the_run(spec, shards, tmp_path, command):
    whole = run(spec).folder
    assert command("report", *shards, "--out", tmp_path / "shards").code == 0
    assert command("report", whole, "--out", tmp_path / "whole").code == 0
    for name in ("table.csv", "rows.csv"):
        assert (tmp_path / "shards" / name).read_text() == (tmp_path / "whole" / name).read_text()
    refused = command("report", shards[0], whole, "--out", tmp_path / "mixed")
    assert (refused.code, "images: nothing against" in refused.err) == (1, True)


def test_a_shard_is_resumed_and_completed_by_the_others_command(spec, shards, results, tmp_path):
    first = replace(spec, models=spec.models[:2], shard="1/3", out=str(shards[0]))
    assert (run(first).sampled, run(first).scored) == (0, 0)
    some = merge(shards[::2], tmp_path / "some")
    found = verify(some)
    assert found.holds, found.text()
    completed = run(replace(spec, out=str(some)))
    assert (completed.sampled, completed.items) == (6, 24), "the second shard, three settings of b and e"
    assert results(some) == results(run(spec).folder)
    assert verify(some).holds


def test_what_two_folders_hold_is_there_once(spec, shards, results, tmp_path):
    whole = run(spec).folder
    merged = merge([*shards, whole], tmp_path / "merged")
    assert results(merged) == results(whole)
    lines = [json.loads(line) for line in (merged / "rows.jsonl").read_text().splitlines()]
    assert len({line["key"] for line in lines}) == len(lines) == 45
    assert verify(merged).holds


def test_runs_of_other_models_are_merged(spec, results, tmp_path):
    for number, model in enumerate(spec.models):
        run(replace(spec, models=(model,), out=str(tmp_path / f"model{number}")))
    merged = merge([tmp_path / f"model{number}" for number in range(3)], tmp_path / "merged")
    assert results(merged) == results(run(spec).folder)
    assert verify(merged).holds


def test_what_does_not_go_together_is_refused(spec, shards, tmp_path):
    def refused(match, *folders, out="merged"):
        with pytest.raises(RunFolderError, match=match):
            merge([*folders], tmp_path / out)
        assert not (tmp_path / "merged").exists()
        assert not list(tmp_path.glob(".merged*"))

    few = replace(spec, models=spec.models[:2], limit=1, out=str(tmp_path / "few"))
    run(replace(few, seed=1))
    refused(
        r"few: cannot be merged with .*shard1, which holds results of seed 0, not of seed 1$",
        shards[0],
        tmp_path / "few",
    )
    refused("already exists; choose another --out", *shards, out="shard1")
    (shards[0] / "images" / "Nearest" / "a.png").write_bytes(b"")
    refused("a.png: is missing, or does not match its record; see srbench verify", *shards)
    shutil.copy(shards[1] / "manifest.json", tmp_path / "kept.json")
    facts = json.loads((tmp_path / "kept.json").read_text())
    facts["invocations"][-1]["finished"] = None
    (shards[1] / "manifest.json").write_text(json.dumps(facts))
    refused("shard2: its last command did not finish; run it again: srbench run .* --shard 2/3", shards[1])
    shutil.copy(tmp_path / "kept.json", shards[1] / "manifest.json")
    score_run(shards[1], ["lr_psnr"])
    with pytest.warns(UserWarning, match="LR-PSNR: left out, as not all folders have it; srbench score adds it"):
        columns = RunFolder.read(merge([shards[2], shards[1]], tmp_path / "both")).manifest.metrics
    assert [one.name for one in columns] == [one.name for one in RunFolder.read(shards[2]).manifest.metrics]
    facts = json.loads((shards[2] / "manifest.json").read_text())
    facts["metrics"][0]["digest"] = "other"
    (shards[2] / "manifest.json").write_text(json.dumps(facts))
    refused("its PSNR was measured with other code than in .*; run one of them again", shards[1], shards[2])


def test_other_weights_and_other_images_are_refused(spec, models, draw_image, tmp_path):
    few = replace(spec, models=spec.models[:1], limit=1)
    run(replace(few, out=str(tmp_path / "before")))
    write_png(tmp_path / "images" / "a.png", draw_image(9, 32, 32))
    run(replace(few, out=str(tmp_path / "other")))
    with pytest.raises(RunFolderError, match=r"a: HR or LR in .*other differs from that in .*before"):
        merge([tmp_path / "before", tmp_path / "other"], tmp_path / "merged")
    models.write_text(models.read_text() + "\n\nCHANGED = 1\n")
    run(replace(few, out=str(tmp_path / "changed")))
    with pytest.raises(RunFolderError, match="Nearest has different code or weights than in"):
        merge([tmp_path / "other", tmp_path / "changed"], tmp_path / "merged")


def test_on_the_command_line(spec, tmp_path, command):
    words = ["--models", spec.models[1], "--scale", 4, "--data", spec.data, "--metrics", "psnr"]
    for number in (1, 2):
        done = command("run", *words, "--shard", f"{number}/2", "--out", f"part{number}")
        assert done.code == (1 if number == 1 else 0), "the damaged image is of the first"
        assert done.out.strip() == f"part{number}: shard {number}/2; combine all shards with srbench merge"
    dry = command("run", *words, "--shard", "2/2", "--out", "part2", "--dry-run").out
    assert "asks for 1 setting on 3 images: 3 items.\nNothing is left to do.\n" in dry
    merged = command("merge", "part1", "part2", "--out", "all")
    assert merged.code == 0
    assert "all/report/report.md" in merged.out
    assert command("verify", "all").code == 0


@pytest.mark.parametrize(("shard", "out"), [("0/0", "x"), ("4/3", "x"), ("1", "x"), ("1/3", None), ("-1/3", "x")])
def test_what_is_no_shard(spec, command, shard, out):
    words = ["run", "--models", "bicubic", "--scale", 4, "--data", spec.data, "--shard", shard]
    done = command(*words, *([] if out is None else ["--out", out]))
    assert done.code == 1
    assert len(done.err.strip().splitlines()) == 1
    expected = "a shard needs a folder of its own" if out is None else "is not a shard; give 1/4 to 4/4"
    assert expected in done.err
