"""Disks that are full, gone or read-only, and folders that somebody deletes: one line, and finished rows are safe."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from srbench.benchmark.run import run
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.journal import writing
from srbench.run_folder.manifest import read_manifest
from srbench.verification.verify import verify


def fails(number, at, function):
    """A function, of which the ``at``-th call fails."""
    calls = []

    def call(*arguments):
        calls.append(arguments)
        if len(calls) == at:
            raise OSError(number, os.strerror(number))
        return function(*arguments)

    return call


def test_a_timeout_is_named(tmp_path):
    """It has no text of its own."""
    with pytest.raises(RunFolderError, match=r"run: TimeoutError; finished work is kept$"), writing(tmp_path / "run"):
        raise TimeoutError


@pytest.mark.parametrize(("what", "number"), [("lines", errno.ENOSPC), ("images", errno.ESTALE)])
def test_a_disk_that_fails(spec, changed, timeless, monkeypatch, number, what):
    with monkeypatch.context() as patch:
        if what == "lines":
            patch.setattr(os, "fsync", fails(number, 9, os.fsync))
        else:
            patch.setattr(Path, "write_bytes", fails(number, 9, Path.write_bytes))
        with pytest.raises(RunFolderError) as caught:
            run(spec)
    [line] = str(caught.value).splitlines()
    name, reason = line.split(": ", 1)
    assert name.startswith(spec.out)
    assert name.endswith(".jsonl" if what == "lines" else ".png")
    assert reason == f"{os.strerror(number)}; finished work is kept"
    kept = RunFolder.read(Path(spec.out))
    assert any(known.samples for known in kept.by_image.values())
    left = [file.name for file in Path(spec.out).rglob(".*") if file.name not in (".lock",)]
    assert not left, "nothing half done is left"
    before = (Path(spec.out) / "rows.jsonl").read_bytes()
    run(spec)
    assert (Path(spec.out) / "rows.jsonl").read_bytes().startswith(before)
    assert timeless(spec.out) == timeless(run(changed(out=f"{spec.out}-whole")).folder)
    assert verify(Path(spec.out)).holds


@pytest.mark.parametrize("at", [0, 9], ids=["at the first item", "at the end"])
def test_a_folder_that_is_deleted_meanwhile(spec, at):
    """It is not made again, as if it held all."""
    done = []

    def progress(step):
        done.append(step.done)
        if step.done == at and Path(spec.out).exists():
            shutil.rmtree(spec.out)

    with pytest.raises(RunFolderError) as caught:
        run(spec, progress)
    assert str(caught.value) == f"{spec.out}: was deleted meanwhile; run the same command again"
    assert not Path(spec.out).exists()
    assert max(done) <= at + 1, "it ends before the next item"


def test_a_disk_that_cannot_be_read(finished, monkeypatch):
    def vanished(*arguments, **options):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(Path, "read_text", vanished)
    with pytest.raises(RunFolderError, match=r"manifest.json: cannot be read \(Stale file handle\); check disk and"):
        read_manifest(finished)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(spec, tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(RunFolderError, match=r"cannot be written \(Permission denied\); choose another --out"):
            run(spec)
    finally:
        tmp_path.chmod(0o700)


def test_a_file_system_without_locks(finished, spec, command, monkeypatch):
    """As earlier versions of filelock report it; later ones lock by the existence of a file there."""

    def missing(lock, *arguments, **options):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(FileLock, "acquire", missing)
    with pytest.raises(RunFolderError, match=r"run: its file system has no locks, .* choose another --out"):
        run(spec)
    done = command("report", finished)
    assert (done.code, len(done.err.strip().splitlines())) == (1, 1)
    assert "its file system has no locks" in done.err
