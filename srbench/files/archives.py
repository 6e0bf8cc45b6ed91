"""Sequential reading of zip and tar archives. Paths inside an archive are never used for writing."""

from __future__ import annotations

import errno
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from srbench.interfaces import SRBenchError
from srbench.words import one_line

_ERRORS = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, RuntimeError, ValueError, OSError)


class ArchiveError(SRBenchError):
    """A damaged archive. The message states only the reason, without the file or advice."""


class Member(NamedTuple):
    """A file in an archive."""

    path: PurePosixPath
    size: int
    """Unpacked size in bytes."""
    open: Callable[[], IO[bytes]]


@contextmanager
def opened_archive(file: Path) -> Iterator[Iterator[Member]]:
    """Yield an iterator over the files of a zip or tar archive, in the order of the archive.

    Raises ArchiveError for a damaged archive, even if the damage shows only when a member is read.
    """
    try:
        if file.suffix == ".zip" or zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as zipped:
                infos = [info for info in zipped.infolist() if not info.is_dir()]
                yield (
                    Member(PurePosixPath(info.filename), info.file_size, partial(zipped.open, info)) for info in infos
                )
        elif tarfile.is_tarfile(file):
            with tarfile.open(file) as tarred:
                extract: Any = tarred.extractfile
                files = (info for info in tarred if info.isfile())
                yield (Member(PurePosixPath(info.name), info.size, partial(extract, info)) for info in files)
        else:
            raise ArchiveError("neither zip nor tar")
    except _ERRORS as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # such as a full disk
            raise
        raise ArchiveError(one_line(error)) from None
