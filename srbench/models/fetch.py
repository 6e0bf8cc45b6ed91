"""Released weights: downloaded or taken from a file, checked, converted, and kept in the user's cache."""

from __future__ import annotations

import errno
import hashlib
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from srbench.interfaces import SRBenchError
from srbench.models.convert import convert
from srbench.system.cache import cache_folder
from srbench.system.terminal import say, transfer
from srbench.weights.download import MOST_BYTES, DownloadError, download
from srbench.weights.files import WeightsError, sha256_file
from srbench.weights.table import ReleasedWeights, cached_path, find_released


def fetch(name: str, sha256: str | None = None) -> Path:
    """The weights file of an entry of the table; downloaded from the first address that gives it, unless it is here.

    Raises WeightsError that tells in one line what was tried, OfflineError where downloads are forbidden.
    """
    entry = find_released(name)
    if cached_path(name).is_file():
        return cached_path(name)
    tried = []
    for address in entry.addresses:
        part = _part(name, address)
        try:
            _download(address, part, entry.file)
            return _keep_download(name, entry, part, sha256, address)
        except (DownloadError, WeightsError) as error:
            tried.append(f"{address} {error}")
    answers = "; ".join(tried) or "no address is known"
    raise WeightsError(f"{name} could not be fetched: {answers}; if you have it: srbench weights add {name} FILE")


def add(name: str, source: str, sha256: str | None = None) -> Path:
    """The weights file of an entry of the table, from a file or an address of the user's; replaces what is there.

    Raises WeightsError, OfflineError.
    """
    entry = find_released(name)
    try:
        if "://" not in source:
            return _keep(name, entry, Path(source), sha256)
        part = _part(name, source)
        _download(source, part, entry.file)
        return _keep_download(name, entry, part, sha256, source)
    except (DownloadError, WeightsError) as error:
        raise WeightsError(f"{source} {error}") from None


def _part(name: str, address: str) -> Path:
    return cache_folder("weights") / f"{name}-{hashlib.sha256(address.encode()).hexdigest()[:12]}.part"


def _download(address: str, part: Path, file: str) -> None:
    with transfer() as bar:
        task = bar.add_task(file, total=None)
        download(address, part, lambda done, total: bar.update(task, completed=done, total=total))


def _keep_download(name: str, entry: ReleasedWeights, part: Path, sha256: str | None, address: str) -> Path:
    """A complete download is used up: what it was worth is either kept as weights or worth nothing."""
    try:
        return _keep(name, entry, part, sha256, address)
    finally:
        part.unlink()


def _keep(name: str, entry: ReleasedWeights, source: Path, sha256: str | None, address: str | None = None) -> Path:
    """Unpack, check and convert a file into the cache. Raises WeightsError: what to say after the source."""
    if not source.is_file():  # opening a pipe would wait for ever
        raise WeightsError("is no file; check the path")
    cache_folder("weights").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_folder("weights")) as folder:
        file = _unpacked(source, Path(folder) / entry.file)
        digest, wanted = sha256_file(file), sha256 or entry.sha256
        if wanted is None:
            say(f"{entry.file}: sha256 {digest}, which nobody has confirmed; pin it with --sha256")
        elif digest != wanted.lower():
            raise WeightsError(
                f"has sha256 {digest} instead of {wanted}; get another copy, or trust it with --sha256 {digest}"
            )
        try:
            convert(file, entry.preset, cached_path(name), entry.model, address=address)
        except SRBenchError as error:
            raise WeightsError(f"gave {str(error).replace(str(file), entry.file)}") from None
    return cached_path(name)


def _unpacked(source: Path, target: Path) -> Path:
    """The member of an archive that has the target's name, as the target; what is no such archive stays as it is.

    Nothing else is unpacked, and no path of the archive is used. ``torch.save`` writes zip archives too.
    """
    if not zipfile.is_zipfile(source):
        return source
    try:
        with zipfile.ZipFile(source) as archive:
            members = [member for member in archive.infolist() if PurePosixPath(member.filename).name == target.name]
            if not members:
                return source
            if members[0].file_size > MOST_BYTES:
                raise WeightsError(f"unpacks to {members[0].file_size} bytes, and {MOST_BYTES} are the most")
            with archive.open(members[0]) as packed, target.open("wb") as file:
                shutil.copyfileobj(packed, file)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # a full disk, for one
            raise
        raise WeightsError(f"is a damaged archive ({error})") from None
    return target
