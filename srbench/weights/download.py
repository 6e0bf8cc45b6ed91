"""Download of a file over HTTP, resuming an earlier attempt."""

from __future__ import annotations

import http.client
import os
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

from srbench.files.atomic import disk_faults_named
from srbench.interfaces import SRBenchError
from srbench.terminal.progress import transfer
from srbench.words import one_line

OFFLINE = "SRBENCH_OFFLINE"
"""Environment variable; any value but 0 forbids all downloads."""

_BLOCK = 1 << 18
_TIMEOUT = 30
"""Timeout of a connection in seconds."""
MAX_BYTES = 16 << 30
"""Largest accepted file, far above any released weights, so that an endless response cannot fill the disk."""


class DownloadError(SRBenchError):
    """A failed download. The message is meant to follow the URL."""


class NoNetworkError(DownloadError):
    """A host name that this machine cannot resolve."""


class OfflineError(SRBenchError):
    """A download forbidden by SRBENCH_OFFLINE."""


def is_offline() -> bool:
    """True if SRBENCH_OFFLINE forbids downloads: if it is set, and not to 0."""
    return os.environ.get(OFFLINE, "0") not in ("", "0")


def require_online(address: str) -> None:
    """Raise OfflineError if SRBENCH_OFFLINE forbids downloading the URL."""
    if is_offline():
        raise OfflineError(f"{OFFLINE} is set, so {address} is not downloaded; unset it, or name a local file")


def download(address: str, file: Path, title: str) -> None:
    """Download a URL as ``file``, unless it exists, with a progress bar in the terminal.

    If the connection breaks, a hidden file beside it keeps the received bytes, and the download resumes as long as each
    attempt adds bytes; it begins anew if the file has changed on the server. Two processes must not download the same
    file at once. Raises DownloadError, OfflineError; OSError only for faults of the disk.
    """
    if file.exists():
        return
    require_online(address)
    if not address.startswith(("http://", "https://")):
        raise DownloadError("is not a URL: it has to begin with http:// or https://")
    file.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(file)
    with transfer() as bar:
        advance = partial(bar.update, bar.add_task(title, total=None))
        previous = -1
        while previous < (received := part.path.stat().st_size if part.path.exists() else 0):
            previous = received
            failure = _attempt(address, part, received, advance)
            if failure is None:
                part.version.unlink(missing_ok=True)
                part.path.replace(file)
                return
    raise DownloadError(failure)


class _Part:
    """What has arrived of a file, and the version of the file on the server that it belongs to (RFC 9110, 13.1.5)."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.path = file.with_name(f".{file.name}.part")
        self.version = file.with_name(f".{file.name}.version")
        """Holds the strong ETag or the date of the last change; empty if the server states neither."""


def _attempt(address: str, part: _Part, received: int, advance: Callable[..., None]) -> str | None:
    """Download over a single connection, from byte ``received`` on; returns the failure, None once complete."""
    try:
        request = urllib.request.Request(address, headers={"User-Agent": "srbench"})
        if received:
            request.add_header("Range", f"bytes={received}-")
            if version := part.version.read_text() if part.version.exists() else "":
                request.add_header("If-Range", version)
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
            return _receive(response, part, received, advance)
    except urllib.error.HTTPError as error:
        total = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
        if error.code == 416 and total and int(total[1]) == received:
            return None  # already complete
        if error.code == 416 and received:
            part.path.unlink()  # the file has changed on the server since the download began
            return _attempt(address, part, 0, advance)
        return f"answered {error.code} {one_line(error.reason)}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        if getattr(error, "filename", None) is not None:  # of the disk
            raise
        if isinstance(getattr(error, "reason", error), socket.gaierror):
            raise NoNetworkError("failed (no network)") from None
        return f"failed ({one_line(getattr(error, 'reason', error))})"


def _receive(
    response: http.client.HTTPResponse, part: _Part, received: int, advance: Callable[..., None]
) -> str | None:
    if response.headers.get_content_type() == "text/html":
        return "answered with a web page, not a file"
    start = received if response.status == 206 else 0
    if start and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        return "sent a different part of the file than requested"
    length = response.headers.get("Content-Length")
    total = start + int(length) if length else None
    if total is not None and not 0 <= total <= MAX_BYTES:
        return f"announced {total} bytes; at most {MAX_BYTES} are accepted"
    size = start
    advance(completed=size, total=total)
    if not start:
        tag = response.headers.get("ETag", "W/")
        with disk_faults_named(part.file):
            part.path.write_bytes(b"")
            part.version.write_text(response.headers.get("Last-Modified", "") if tag.startswith("W/") else tag)
    while block := response.read(_BLOCK):
        with disk_faults_named(part.file), part.path.open("ab") as file:
            file.write(block)
        size += len(block)
        if size > MAX_BYTES:
            raise DownloadError(f"sent more than the limit of {MAX_BYTES} bytes")
        advance(completed=size, total=total)
    if total is not None and size < total:
        return f"broke off after {size} of {total} bytes; rerun the same command to resume"
    return None
