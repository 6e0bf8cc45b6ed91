"""Download of benchmark sets, from the first address that works, with a check of the images."""

from __future__ import annotations

import shutil
from itertools import product
from pathlib import Path, PurePosixPath

from srbench.data import DataError
from srbench.data.benchmark_sets.table import BenchmarkSet, find_set, is_downloaded, open_set, opened, set_folder
from srbench.files.archives import opened_archive
from srbench.files.atomic import disk_faults_named
from srbench.files.locks import locked
from srbench.images.folders import is_image
from srbench.interfaces import Dataset, SRBenchError
from srbench.terminal.output import say
from srbench.weights.download import DownloadError, NoNetworkError, OfflineError, download

_ANY = 4
"""Scale at which a set without its own scale is opened for the check."""


def fetched_set(name: str, scale: int) -> Dataset:
    """Open a set by its name, downloading it if necessary. Raises DataError as ``fetch_set`` does."""
    if not is_downloaded(name):
        fetch_set(name)
    return open_set(name, scale)


def fetch_set(name: str) -> Path:
    """Download a set unless its folder has files, and return the folder. An interrupted download is resumed.

    Of several processes, one downloads and the others wait for it.
    Raises DataError, which lists the addresses tried, what to download by hand and where to put it.
    """
    entry, folder = find_set(name), set_folder(name)
    if not is_downloaded(name):
        with locked(folder.with_name(f".{name}.lock"), f"downloading {name}"), disk_faults_named(folder):
            if not is_downloaded(name):
                _fetch(name, entry, folder)
                return folder
    opened(name, entry, folder, entry.scale or _ANY)
    return folder


def _fetch(name: str, entry: BenchmarkSet, folder: Path) -> None:
    say(f"{name}: {entry.licence}")
    tried = []
    for number, address in enumerate(entry.addresses):
        part = folder.with_name(f".{name}.{number}.part")
        try:
            _images(entry, address, part)
            opened(name, entry, part, entry.scale or _ANY)
        except OfflineError:
            raise DataError(
                f"{name} is not on this machine, and SRBENCH_OFFLINE is set; {entry.wanted(name)}"
            ) from None
        except NoNetworkError:
            raise DataError(f"no network, and {name} is not on this machine; {entry.wanted(name)}") from None
        except DownloadError as error:
            tried.append(f"{address} {error}")
        except SRBenchError as error:
            tried.append(f"{address} sent unexpected data ({error})")
            shutil.rmtree(part, ignore_errors=True)
        else:
            if folder.is_dir():
                folder.rmdir()  # it is empty, see is_downloaded
            part.replace(folder)
            return
    reason = f"could not be fetched ({'; '.join(tried)})" if tried else "has no direct download"
    raise DataError(f"{name} {reason}; {entry.wanted(name)}")


def _images(entry: BenchmarkSet, address: str, part: Path) -> None:
    part.mkdir(parents=True, exist_ok=True)
    if "{" not in address:
        archive = part.with_suffix(".archive")
        download(address, archive, archive.name)
        shutil.rmtree(part)  # left by an interrupted unpacking
        part.mkdir()
        try:
            _unpack(archive, part)
        except SRBenchError:
            archive.unlink()  # damaged; one that a full disk cannot hold is kept
            raise
        archive.unlink()
        return
    for folder, number in product(entry.folders, range(1, entry.images + 1)):
        name = entry.names[number - 1] if entry.names else f"{number:03}"
        image = part / folder / f"{name}{PurePosixPath(address).suffix}"
        download(address.format(name=name, number=number, folder=folder), image, image.name)


def _unpack(archive: Path, folder: Path) -> None:
    with opened_archive(archive) as members:
        for member in members:
            if is_image(member.path) and "__MACOSX" not in member.path.parts:
                target = folder / member.path.name
                if target.exists():
                    raise DataError(f"an archive with two images named {target.name}")
                with member.open() as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)
