"""The journal of a run folder: the only writer of its manifest, records and images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from srbench.files.atomic import write_synced, write_whole
from srbench.files.hashes import sha256_bytes
from srbench.files.locks import NO_LOCKS
from srbench.run_folder import RunFolderError, records
from srbench.run_folder.folder import LOCK, SUMS, RunFolder, check_folder, is_kept, sums_of
from srbench.run_folder.manifest import MANIFEST, content_of, is_run, write_manifest
from srbench.run_folder.protocol import Manifest
from srbench.run_folder.records import EnvironmentRecord, Line


@dataclass(frozen=True)
class Journal:
    """Writes results into a run folder that is locked by ``writing``.

    Raises OSError if the disk is full or gone; everything written before stays.
    """

    folder: RunFolder

    def clear(self) -> None:
        """Remove the records of earlier commands that all failed, and the images of their pairs."""
        path = self.folder.path
        if is_run(path):
            for file, recorded in RunFolder.read(path).kept_images():
                if is_kept(file, recorded):
                    file.unlink()
            for name in (SUMS, *(kind.FILE for kind in records.KINDS)):
                (path / name).unlink(missing_ok=True)

    def extend(self, manifest: Manifest) -> None:
        """Replace the manifest."""
        write_manifest(self.folder.path, manifest)
        self.folder.manifest = manifest

    def add(self, lines: Iterable[Line], files: Iterable[tuple[Path, bytes]] = ()) -> None:
        """Write image files, given with their paths in the folder, then append the records that name them.

        An environment is written once. A kill after the images leaves files that do not match their records, so they
        are made again.
        """
        self._require_folder()
        for path, content in files:
            write_whole(self.folder.path / path, content)
        written, new = set(self.folder.environments), []
        for line in lines:
            if isinstance(line, EnvironmentRecord):
                if line.key in written:
                    continue
                written.add(line.key)
            new.append(line)
        records.append(self.folder.path, new)
        self.folder.take(new)

    def finish(self, manifest: Manifest) -> None:
        """Write SHA256SUMS of records, images and manifest, then the manifest."""
        self._require_folder()
        folder = self.folder
        sums = sums_of(folder) | {MANIFEST: sha256_bytes(content_of(manifest))}
        text = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()
        path = folder.path / SUMS
        if not (path.exists() and path.read_bytes() == text):
            write_synced(path, text)
        self.extend(manifest)

    def _require_folder(self) -> None:
        """Raise RunFolderError if the folder was deleted: a new folder would lack earlier records."""
        if not self.folder.path.is_dir():
            raise RunFolderError(f"{self.folder.path}: was deleted meanwhile; run the same command again")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Lock a run folder for writing; create it if missing, and cut off a last line torn by a kill.

    The lock ends with the process. Raises RunFolderError if another process is writing, the folder cannot be written,
    or it is neither empty nor a run folder.
    """
    check_folder(path)
    lock = FileLock(path / LOCK)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise RunFolderError(
            f"{path}: another srbench process is writing; wait for it, or choose another --out"
        ) from None
    except NotImplementedError:  # raised by older versions of filelock
        raise RunFolderError(f"{path}: {NO_LOCKS}; choose another --out") from None
    except OSError as error:
        raise RunFolderError(
            f"{path}: cannot be written ({error.strerror}); choose another --out, or copy the run"
        ) from None
    try:
        records.drop_torn_lines(path)
        yield
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__  # a timeout has no message
        raise RunFolderError(f"{error.filename or path}: {reason}; finished work is kept") from None
    finally:
        with suppress(OSError):  # the disk may be gone
            lock.release()
