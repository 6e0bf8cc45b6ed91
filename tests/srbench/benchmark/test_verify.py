"""``verify`` finds and names what was changed, and passes what was not."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.resources import files

import pytest

from srbench.benchmark.run import run
from srbench.benchmark.verify import verify
from srbench.images.io import encode_png, pixels_sha256, read_uint8
from srbench.plugins.code_digest import code_digest
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import RunFolder
from srbench.weights.files import load_weights, save_weights, sha256_file


def lines_of(path):
    return path.read_text().splitlines()


def write_lines(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines))


def forge_sums(folder):
    """Make SHA256SUMS agree with what was changed: whoever changes values can do that too."""
    changed = RunFolder.read(folder)
    changed.finish(changed.manifest)


def faults(folder, **options):
    found = verify(folder, **options)
    assert not found.proven
    return "\n".join(found.faults)


def test_a_fresh_run_is_proven(finished):
    found = verify(finished, resample=4)
    assert (found.faults, found.remarks) == ([], [])
    assert (found.images, found.images_kept) == (21, 21), "6 of pairs, 3 of near, 12 of noisy"
    assert (found.scores_all, found.sampled, found.sampled_all) == (27, 4, 4)
    assert found.scores == 27 - 9 + 4, "sigma is measured again only of what is sampled again"
    assert "re-measured 22 of 27 scores and 4 of 4 samples: equal" in found.text()
    assert verify(finished, resample=100).scores == 27


def test_sums_are_those_that_other_tools_check(finished):
    done = subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=finished, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    names = [line.split("  ")[1] for line in lines_of(finished / "SHA256SUMS")]
    assert names == sorted(names)
    assert len(names) == 21 + 4


def test_a_flipped_bit_in_an_image(finished):
    path = finished / "images" / "noisy-t0.8" / "a_sample1.png"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "images/noisy-t0.8/a_sample1.png: is not the image of its record" in faults(finished)


def test_an_edited_value(finished):
    path = finished / "rows.jsonl"
    lines = lines_of(path)
    row = json.loads(lines[0])
    row["value"] = [value + 0.01 for value in row["value"]]
    write_lines(path, [json.dumps(row), *lines[1:]])
    assert "rows.jsonl: is missing or not the file that SHA256SUMS states" in faults(finished)
    forge_sums(finished)
    assert "near a: PSNR is " in faults(finished)


def test_an_edited_value_of_what_only_sampling_tells(finished):
    path = finished / "rows.jsonl"
    lines = lines_of(path)
    place, row = next(
        (k, row) for k, row in enumerate(map(json.loads, lines)) if row["metric"] == "sigma" and row["value"]
    )
    row["value"] += 1
    lines[place] = json.dumps(row)
    write_lines(path, lines)
    forge_sums(finished)
    assert "sigma is" in faults(finished, resample=100)


def test_swapped_images(finished):
    one, other = (finished / "images" / "noisy-t0.8" / f"a_sample{k}.png" for k in (0, 1))
    before = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(before)
    found = faults(finished)
    assert "images/noisy-t0.8/a_sample0.png: is not the image of its record" in found
    assert "images/noisy-t0.8/a_sample1.png: is not the image of its record" in found


def test_swapped_images_with_their_records(finished):
    """Files and digests agree: then the values do not."""
    path = finished / "samples.jsonl"
    lines = lines_of(path)
    place = next(k for k, line in enumerate(lines) if json.loads(line)["temperature"] == 0.8)
    record = json.loads(lines[place])
    record["outputs"].reverse()
    lines[place] = json.dumps(record)
    write_lines(path, lines)
    files = [finished / "images" / "noisy-t0.8" / f"{record['image']}_sample{k}.png" for k in (0, 1)]
    contents = [file.read_bytes() for file in files]
    for file, content in zip(files, reversed(contents), strict=True):
        file.write_bytes(content)
    forge_sums(finished)
    assert f"noisy-t0.8 {record['image']}: its PSNR is missing in rows.jsonl" in faults(finished)


def test_another_image_with_a_record_to_match(finished):
    """A better image in place of the model's: only sampling again tells."""
    hr = read_uint8(finished / "images" / "hr" / "a.png")
    path = finished / "images" / "near" / "a.png"
    path.write_bytes(encode_png(hr))
    lines = lines_of(finished / "samples.jsonl")
    place = next(k for k, line in enumerate(lines) if '"model": "near"' in line and '"image": "a"' in line)
    record = json.loads(lines[place])
    record["outputs"] = [{"pixels": pixels_sha256(hr), "sha256": sha256_file(path)}]
    lines[place] = json.dumps(record)
    write_lines(finished / "samples.jsonl", lines)
    forge_sums(finished)
    found = faults(finished, resample=100)
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
    found = faults(finished)
    assert "images/near/b.png: is missing" in found
    assert "c: LR or HR is missing or another image" in found


def test_lines_of_nothing_that_was_asked_for(finished):
    path = finished / "samples.jsonl"
    row = json.loads(lines_of(path)[0]) | {"model": "ghost"}
    write_lines(path, [*lines_of(path), json.dumps(row)])
    forge_sums(finished)
    assert "samples.jsonl: ghost a is in no plan of the manifest" in faults(finished)
    write_lines(path, [*lines_of(path), "{}"])
    with pytest.raises(RunFolderError, match=r"samples.jsonl: line \d+ is damaged"):
        verify(finished)


def test_changed_weights(tmp_path, changed):
    packaged = files("baselines") / "weights" / "rrdb-mini-x4.safetensors"
    tensors, metadata = load_weights(packaged)
    path = tmp_path / "mine.safetensors"
    save_weights(path, tensors, metadata)
    folder = run(changed(models=(f"rrdb:{path}",), metrics=("psnr",), limit=1)).folder
    assert verify(folder, resample=1).proven
    save_weights(path, {name: 0.9 * tensor for name, tensor in tensors.items()}, metadata)
    assert "rrdb-mine: its weights have sha256" in faults(folder)
    assert "rrdb-mine a: sampled again" in faults(folder, resample=1)


METRIC = """
import torch

from srbench.interfaces import MetricFacts

SHIFT = 0.0


class Shifted:
    facts = MetricFacts(name="shifted", title="shifted", direction=1, protocol="a test", signature="v1")

    def __call__(self, samples, pair):
        return (samples - pair.hr).abs().mean(dim=(1, 2, 3)) + SHIFT
"""


def test_a_changed_source_of_a_metric(tmp_path, changed):
    path = tmp_path / "metric.py"
    path.write_text(METRIC)
    folder = run(changed(metrics=("psnr", f"{path}:Shifted"))).folder
    assert verify(folder).proven
    path.write_text(METRIC + "# no change of a number\n")
    code_digest.cache_clear()
    found = verify(folder)
    assert found.proven
    assert found.remarks == ["shifted: its source is another than when it was measured"]
    path.write_text(METRIC.replace("SHIFT = 0.0", "SHIFT = 0.5"))
    code_digest.cache_clear()
    found = verify(folder)
    assert not found.proven
    assert "shifted: its source is another than when it was measured" in found.remarks
    assert any("near a: shifted is" in fault for fault in found.faults)


def test_a_copied_folder_is_proven_elsewhere(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "elsewhere")
    assert verify(tmp_path / "elsewhere", resample=2).proven


def test_the_command(finished, command):
    done = command("verify", finished, "--resample", 2)
    assert done.code == 0
    assert "21 of 21 images" in done.out
    assert json.loads(command("verify", finished, "--json").out)["proven"] is True
    (finished / "images" / "near" / "a.png").unlink()
    done = command("verify", finished, "--json")
    assert done.code == 1
    assert json.loads(done.out)["faults"] == [
        "images/near/a.png: is missing", "near a: its images are not those of the record; nothing was measured again",
    ]  # fmt: skip
