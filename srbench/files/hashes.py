"""SHA-256 of files, bytes and texts."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterable
from pathlib import Path

from srbench.files.paths import no_file
from srbench.interfaces import SRBenchError


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file. Raises OSError if it cannot be read or is not a regular file."""
    if kind := no_file(path):  # reading a pipe would block
        raise OSError(errno.EINVAL, f"{kind}, not a file", str(path))
    with path.open("rb", buffering=0) as file:  # file_digest has a buffer of its own
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_files(paths: Iterable[Path], made: str = "") -> str:
    """Hexadecimal SHA-256 of a text and the hashes of files, in their order.
    Raises SRBenchError for an unreadable file.
    """
    digest = hashlib.sha256(made.encode())
    for path in paths:
        try:
            digest.update(bytes.fromhex(sha256_file(path)))
        except OSError as error:
            raise SRBenchError(f"{path}: cannot be read ({error.strerror}); restore it and run again") from None
    return digest.hexdigest()


def sha256_bytes(content: bytes) -> str:
    """Hexadecimal SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def sha256_texts(*texts: str) -> str:
    """Hexadecimal SHA-256 of texts, joined by line feeds."""
    return sha256_bytes("\n".join(texts).encode(errors="surrogateescape"))
