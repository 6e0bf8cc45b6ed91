"""HR images of a benchmark set: downloaded from the first address that gives them, checked, and put in their place."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from srbench.data import DataError
from srbench.data.benchmark_sets.table import BenchmarkSet, check_files, find_set, is_here, open_set, set_folder
from srbench.data.datasets import Folder
from srbench.images.folders import images_in
from srbench.images.io import ENDINGS
from srbench.interfaces import SRBenchError
from srbench.system.terminal import say, transfer
from srbench.weights.download import DownloadError, OfflineError, download


def fetched_set(name: str, scale: int) -> Folder:
    """A set by its name, fetched where it is not here. Raises DataError as ``fetch_set``."""
    if not is_here(name):
        fetch_set(name)
    return open_set(name, scale)


def fetch_set(name: str) -> Path:
    """The folder of a set's HR images; downloaded unless something is in it.

    An interrupted download is resumed by the next call. Raises DataError that tells in
    one line what was tried, what to download and where to put it.
    """
    entry, folder = find_set(name), set_folder(name)
    if is_here(name):
        check_files(name, entry, images_in(folder))
        return folder
    say(f"{name}: {entry.licence}")
    tried = []
    for number, address in enumerate(entry.addresses):
        part = folder.with_name(f".{name}.{number}.part")
        try:
            _images(entry, address, part)
            check_files(name, entry, images_in(part))
        except OfflineError:
            raise DataError(f"{name} is not here, and SRBENCH_OFFLINE is set; {entry.wanted(name)}") from None
        except DownloadError as error:
            tried.append(f"{address} {error}")
        except SRBenchError as error:
            tried.append(f"{address} gave something else ({error})")
            shutil.rmtree(part, ignore_errors=True)
        else:
            if folder.is_dir():
                folder.rmdir()  # empty, as it is not here
            part.replace(folder)
            return folder
    reason = f"could not be fetched ({'; '.join(tried)})" if tried else "is not handed out to programs"
    raise DataError(f"{name} {reason}; {entry.wanted(name)}")


def _images(entry: BenchmarkSet, address: str, part: Path) -> None:
    """Fetch all images of a set into a folder. Raises DownloadError, OfflineError, DataError."""
    part.mkdir(parents=True, exist_ok=True)
    if "{" not in address:
        archive = part.with_suffix(".archive")
        _download(address, archive, archive.name)
        shutil.rmtree(part)  # what an interrupted unpacking has left
        part.mkdir()
        try:
            _unpack(archive, part)
        finally:
            archive.unlink()
        return
    for number in range(1, entry.images + 1):
        name = entry.names[number - 1] if entry.names else f"{number:03}"
        ending = PurePosixPath(address).suffix
        if not (part / f"{name}{ending}").exists():
            arriving = part / f"{name}.arriving"
            _download(address.format(name=name, number=number), arriving, f"{name}{ending}")
            arriving.replace(part / f"{name}{ending}")


def _download(address: str, part: Path, title: str) -> None:
    with transfer() as bar:
        task = bar.add_task(title, total=None)
        download(address, part, lambda done, total: bar.update(task, completed=done, total=total))


def _unpack(archive: Path, folder: Path) -> None:
    """The images of a zip or tar archive, by their names alone: no path of the archive is used."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                for name in zipped.namelist():
                    if _is_image(name):
                        with zipped.open(name) as source, (folder / PurePosixPath(name).name).open("xb") as target:
                            shutil.copyfileobj(source, target)
            return
        with tarfile.open(archive) as tarred:
            for member in tarred:
                packed = tarred.extractfile(member) if member.isfile() and _is_image(member.name) else None
                if packed is not None:
                    with (folder / PurePosixPath(member.name).name).open("xb") as target:
                        shutil.copyfileobj(packed, target)
    except FileExistsError as error:
        raise DataError(f"an archive with two images named {Path(str(error.filename)).name}") from None
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise DataError(f"a damaged archive, {error}") from None


def _is_image(member: str) -> bool:
    path = PurePosixPath(member)
    return path.suffix.lower() in ENDINGS and not path.name.startswith(".") and "__MACOSX" not in path.parts
