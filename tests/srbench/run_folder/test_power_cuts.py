"""Power cuts: what was not on the disk is gone; nothing that was measured is lost, and lost images are made again."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest

from srbench.benchmark.run import run
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.manifest import read_manifest
from srbench.verification.verify import verify

MOMENTS = 30


class Disk:
    """A folder as it would be found after a power cut: contents of files as of their last fsync.

    Names are those of the last fsync of their folder; or, ``names`` being "at once", all that were given, as on file
    systems that write a renamed file's name before its content: then it is empty.
    """

    def __init__(self, folder, target, every, names):
        self.folder, self.target, self.every, self.names = folder, target, every, names
        self.contents, self.entries, self.operations, self.cuts = {}, {}, 0, []

    def synced(self, handle):
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if path.is_dir():
            self.entries[path] = {one.name: one.stat().st_ino for one in path.iterdir()}
        else:
            self.contents[os.fstat(handle).st_ino] = path.read_bytes()

    def operation(self):
        self.operations += 1
        if self.operations % self.every == 0:
            self.cuts.append(self.target / str(self.operations))
            self.found(self.folder, self.cuts[-1])

    def found(self, folder, target):
        target.mkdir(parents=True)
        names = self.entries.get(folder, {})
        if self.names == "at once":
            names = {one.name: one.stat().st_ino for one in folder.iterdir()}
        for name, inode in names.items():
            if (folder / name).is_dir():
                self.found(folder / name, target / name)
            else:
                (target / name).write_bytes(self.contents.get(inode, b""))


@pytest.fixture
def disk(spec, tmp_path, monkeypatch):
    def call(every, names):
        found = Disk(Path(spec.out), tmp_path / "cut", every, names)
        fsync, replace = os.fsync, Path.replace

        def synced(handle):
            found.operation()
            fsync(handle)
            found.synced(handle)

        def replaced(path, target):
            replace(path, target)
            found.operation()

        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(Path, "replace", replaced)
        return found

    return call


def lines(folder, name):
    return (folder / name).read_bytes().splitlines() if (folder / name).exists() else []


@pytest.mark.skipif(sys.platform != "linux", reason="reads names of open files in /proc")
@pytest.mark.parametrize("names", ["as synced", "at once"])
def test_thirty_moments(spec, changed, disk, timeless, names, monkeypatch):
    spec = changed(metrics=("psnr", "ssim"), limit=2)
    found = disk(2, names)
    wanted = run(spec).folder
    monkeypatch.undo()
    cuts = found.cuts[:: max(len(found.cuts) // MOMENTS, 1)]
    assert len(cuts) >= MOMENTS
    before, made = Counter(), 0
    for cut in cuts:
        known = {name: lines(cut, name) for name in ("pairs.jsonl", "samples.jsonl", "rows.jsonl")}
        for name, found_lines in known.items():
            assert found_lines == lines(wanted, name)[: len(found_lines)]
            assert len(found_lines) >= before[name], "what was on the disk stays there"
            before[name] = len(found_lines)
        outcome = run(changed(metrics=("psnr", "ssim"), limit=2, out=str(cut)))
        lost = len(lines(wanted, "rows.jsonl")) - len(known["rows.jsonl"])
        assert outcome.scored == lost, "nothing is measured twice"
        assert timeless(cut) == timeless(wanted)
        assert verify(cut).holds
        made += outcome.sampled
    assert made


@pytest.mark.parametrize("damage", ["empty", "torn", "missing"])
@pytest.mark.parametrize("file", ["near/a.png", "noisy-t0.8/a_sample1.png", "hr/b.png", "lr/c.png"])
def test_images_that_were_lost_are_made_again(finished, spec, file, damage):
    path = finished / "images" / file
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"" if damage == "empty" else content[:-9])
    outcome = run(spec)
    assert (outcome.sampled, outcome.scored) == (0 if file[:2] in ("hr", "lr") else 1, 0)
    assert path.read_bytes() == content
    assert verify(finished).holds
    assert run(spec).sampled == 0


def test_all_images_lost_and_other_processes(finished, spec):
    wanted = {path: path.read_bytes() for path in (finished / "images").rglob("*.png")}
    shutil.rmtree(finished / "images")
    outcome = run(spec, workers=2)
    assert (outcome.sampled, outcome.scored) == (9, 0)
    assert {path: path.read_bytes() for path in (finished / "images").rglob("*.png")} == wanted
    assert verify(finished).holds


def test_a_lost_image_that_comes_out_different(finished, spec, models, monkeypatch):
    """As on another machine: the item and all its values are replaced."""
    import srbench.benchmark.tasks

    sample = srbench.benchmark.tasks.sample

    def rounded(*arguments):
        output = sample(*arguments)
        output.images[0, 0, 0, 0] += 0.1
        return output

    (finished / "images" / "near" / "a.png").write_bytes(b"")
    monkeypatch.setattr(srbench.benchmark.tasks, "sample", rounded)
    outcome = run(spec)
    assert (outcome.sampled, outcome.scored) == (1, 3)
    assert verify(finished).holds


@pytest.mark.parametrize("content", [b"", b"{", b"\0" * 4000])
def test_a_damaged_manifest_is_read_from_its_copy(finished, spec, changed, content):
    wanted = (finished / "manifest.json").read_bytes()
    (finished / "manifest.json").write_bytes(content)
    with pytest.warns(UserWarning, match=r"manifest\.json: is damaged; its copy \.manifest\.json is used"):
        folder = RunFolder.read(finished)
    assert len(folder.known) == 3
    with pytest.warns(UserWarning, match="is damaged"):
        outcome = run(spec)
    assert (outcome.sampled, outcome.scored) == (0, 0)
    assert (finished / "manifest.json").read_bytes().startswith(wanted[:1000]), "it is written again"
    assert read_manifest(finished).images == ("a", "b", "c", "d")
    assert verify(finished).holds


def test_a_damaged_manifest_and_copy(finished, spec):
    for name in ("manifest.json", ".manifest.json"):
        (finished / name).write_bytes(b"")
    with pytest.raises(RunFolderError, match=r"/manifest\.json: damaged"):
        run(spec)
