"""Atomic writing of files, and disk errors that name the file."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from srbench.interfaces import SRBenchError

_DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically: after a kill at any moment it is absent, unchanged or complete."""
    with replaced_whole(path) as temporary:
        temporary.write_bytes(content)


def write_new(path: Path, content: bytes) -> None:
    """Write a file by ``write_whole``, unless it exists with this content. Raises SRBenchError for other content."""
    if path.is_file() and path.read_bytes() == content:
        return
    if path.exists() or path.is_symlink():
        raise SRBenchError(f"{path}: exists with different contents; choose another --out, or move it away")
    write_whole(path, content)


def write_synced(path: Path, content: bytes) -> None:
    """Write a file by ``write_whole`` and wait until it is on disk: a power failure leaves it unchanged or complete."""
    with replaced_whole(path) as temporary:
        temporary.write_bytes(content)
        sync([temporary])
    sync([path.parent])


def sync(paths: Iterable[Path]) -> None:
    """Wait until the contents of files, or the entries of folders, are on disk."""
    for path in paths:
        if os.name == "nt" and path.is_dir():
            continue  # Windows cannot open folders
        handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno != errno.EINVAL:  # some file systems do not sync folders
                raise
        finally:
            os.close(handle)


@contextmanager
def replaced_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``, which is created, and rename it to ``path`` at the end.

    If writing fails, as on a full disk, ``path`` is unchanged, the temporary file is removed, and the OSError names
    ``path``. Several writers of a path, even threads, do not share temporary files.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{token_hex(4)}")
    try:
        with disk_faults_named(path):
            yield temporary
            temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):  # on a read-only disk even the removal of a missing file fails
            temporary.unlink()
        if isinstance(error, OSError) and error.filename == str(temporary):
            error.filename = str(path)
        raise


@contextmanager
def disk_faults_named(path: Path) -> Iterator[None]:
    """Add ``path`` to errors of a full, read-only or missing disk, which name a temporary file or none."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and (error.filename is None or error.errno in _DISK_FAULTS):
            error.filename = str(path)
        raise
