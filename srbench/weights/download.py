"""Download one file over HTTP, going on where an earlier attempt stopped."""

from __future__ import annotations

import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO

from srbench.interfaces import SRBenchError

OFFLINE = "SRBENCH_OFFLINE"
"""Environment variable that forbids every download when set to anything but 0."""

_BLOCK = 1 << 18
_SECONDS = 30
"""Without an answer."""


MOST_BYTES = 16 << 30
"""Of a file: no released weights are nearly as large, and a disk should not be filled by a server that has no end."""


class DownloadError(SRBenchError):
    """An address that gave no file; the text is what to say after the address."""


class OfflineError(SRBenchError):
    """A download that the user has forbidden."""


def download(address: str, part: Path, advance: Callable[[int, int | None], None]) -> None:
    """Fetch an address into the file ``part``, which keeps what has arrived when the connection breaks.

    ``advance`` is told the bytes there and the bytes in all (None where unknown). A broken connection is taken up again
    as long as each new one brings something. Raises DownloadError, OfflineError.
    """
    if os.environ.get(OFFLINE, "0") not in ("", "0"):
        raise OfflineError(f"{OFFLINE} is set, so {address} is not fetched; unset it, or give a file you have")
    if not address.startswith(("http://", "https://")):
        raise DownloadError("is no address: it has to begin with http:// or https://")
    part.parent.mkdir(parents=True, exist_ok=True)
    before = -1
    while before < (there := part.stat().st_size if part.exists() else 0):
        before = there
        fault = _attempt(address, part, there, advance)
        if fault is None:
            return
    raise DownloadError(fault)


def _attempt(address: str, part: Path, there: int, advance: Callable[[int, int | None], None]) -> str | None:
    """One connection. Returns what went wrong, None where the file is complete."""
    try:
        request = urllib.request.Request(address, headers={"User-Agent": "srbench"})
        if there:
            request.add_header("Range", f"bytes={there}-")
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            return _receive(answer, part, there, advance)
    except urllib.error.HTTPError as error:
        total = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
        if error.code == 416 and total and int(total[1]) == there:
            return None  # the part was complete already
        if error.code == 416 and there:
            part.unlink()  # the file has changed since the download began
            return _attempt(address, part, 0, advance)
        return f"answered {error.code} {' '.join(str(error.reason).split())}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = str(getattr(error, "reason", error)) or type(error).__name__
        return f"failed ({' '.join(reason.split())})"


def _receive(
    answer: http.client.HTTPResponse, part: Path, there: int, advance: Callable[[int, int | None], None]
) -> str | None:
    if answer.headers.get_content_type() == "text/html":
        return "answered with a web page, not a file"
    start = there if answer.status == 206 else 0
    if start and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        return "answered with another part of the file than was asked for"
    length = answer.headers.get("Content-Length")
    total = start + int(length) if length else None
    if total is not None and not 0 <= total <= MOST_BYTES:
        return f"wants to send {total} bytes, and {MOST_BYTES} are the most that are taken"
    with part.open("ab" if start else "wb") as file:
        size = _copy(answer, file, start, total, advance)
    if total is not None and size < total:
        return f"broke off after {size} of {total} bytes; rerun the same command to resume"
    return None


def _copy(
    source: IO[bytes] | http.client.HTTPResponse,
    target: IO[bytes],
    size: int,
    total: int | None,
    advance: Callable[[int, int | None], None],
) -> int:
    advance(size, total)
    while block := source.read(_BLOCK):
        target.write(block)
        size += len(block)
        if size > MOST_BYTES:
            raise DownloadError(f"sends more than {MOST_BYTES} bytes, the most that are taken")
        advance(size, total)
    return size
