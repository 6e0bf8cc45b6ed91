"""Files in zip and tar archives, read one after the other. No path of an archive is ever used to write."""

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

_FAULTS = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, RuntimeError, ValueError, OSError)


class ArchiveError(SRBenchError):
    """A damaged archive; the message says what is wrong and no more."""


class Member(NamedTuple):
    """A file in an archive."""

    path: PurePosixPath
    size: int
    """Bytes, unpacked."""
    open: Callable[[], IO[bytes]]


@contextmanager
def opened_archive(file: Path) -> Iterator[Iterator[Member]]:
    """Yield the files of a zip or tar archive in its order.

    Raises ArchiveError for a damaged archive, also while a member is read inside.
    """
    try:
        if file.suffix == ".zip" or zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as zipped:
                found = [one for one in zipped.infolist() if not one.is_dir()]
                yield (Member(PurePosixPath(one.filename), one.file_size, partial(zipped.open, one)) for one in found)
        elif tarfile.is_tarfile(file):
            with tarfile.open(file) as tarred:
                opened: Any = tarred.extractfile
                files = (one for one in tarred if one.isfile())
                yield (Member(PurePosixPath(one.name), one.size, partial(opened, one)) for one in files)
        else:
            raise ArchiveError("neither zip nor tar")
    except _FAULTS as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # such as a full disk
            raise
        raise ArchiveError(one_line(error)) from None
