"""Files that are written whole, and errors that name the file."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from srbench.interfaces import SRBenchError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is absent, old or complete whenever the process is killed."""
    with replaced_whole(path) as temporary:
        temporary.write_bytes(content)


def write_new(path: Path, content: bytes) -> None:
    """Write a file as ``write_whole`` does, unless one is there already. Raises SRBenchError if its contents differ."""
    if path.is_file() and path.read_bytes() == content:
        return
    if path.exists() or path.is_symlink():
        raise SRBenchError(f"{path}: exists with different contents; choose another --out, or move it away")
    write_whole(path, content)


def write_synced(path: Path, content: bytes) -> None:
    """Write a file as ``write_whole`` does, and wait until it is on the disk: a power cut leaves it old or complete."""
    with replaced_whole(path) as temporary:
        temporary.write_bytes(content)
        sync([temporary])
    sync([path.parent])


def sync(paths: Iterable[Path]) -> None:
    """Wait until the contents of files, or the names in folders, are on the disk."""
    for path in paths:
        if os.name == "nt" and path.is_dir():
            continue  # Windows opens no folders
        handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno != errno.EINVAL:  # of a file system that has nothing to do for folders
                raise
        finally:
            os.close(handle)


@contextmanager
def replaced_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, which is made, and rename it to ``path`` at the end.

    If writing fails, as on a full disk, ``path`` stays as it was and the temporary file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with disk_faults_named(path):
            yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def disk_faults_named(path: Path) -> Iterator[None]:
    """Put ``path`` into the error of a full or missing disk, as an open file does not tell its name."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and (error.filename is None or error.errno in (errno.ENOSPC, errno.EDQUOT)):
            error.filename = str(path)
        raise
