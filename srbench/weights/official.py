"""Conversion of official checkpoints to weights files, and the cache of released weights."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from srbench.files.archives import ArchiveError, opened_archive
from srbench.files.atomic import disk_faults_named, write_new
from srbench.files.hashes import sha256_file, sha256_texts
from srbench.files.locks import locked
from srbench.files.paths import cache_folder
from srbench.interfaces import SRBenchError
from srbench.plugins.registry import find_plugin, registered
from srbench.terminal.output import say
from srbench.weights.download import MAX_BYTES, DownloadError, download
from srbench.weights.files import WeightsError, load_metadata, weights_content
from srbench.weights.metadata import read_metadata
from srbench.weights.pretrained import converted
from srbench.weights.reading import read_tensors
from srbench.weights.table import ReleasedWeights, cached_path, find_released


def convert(checkpoint: Path, preset: str, out: Path, model: str | None = None, *, address: str | None = None) -> str:
    """Convert an official checkpoint to the weights file ``out``; returns the name of the model.

    ``model`` is needed only if several models recognise the checkpoint; ``address`` is the URL that it was downloaded
    from. Raises WeightsError if no model or several models recognise it, or its tensors do not fit the preset;
    SRBenchError if ``out`` exists with other content; PluginError; ConfigError.
    """
    tensors = read_tensors(checkpoint)
    names = [model] if model else list(registered("converters"))
    candidates = {}
    for name in names:
        converter = find_plugin("converters", name).factory
        if official := converted(converter, name, tensors, checkpoint, preset, address):
            candidates[name] = official
    if not candidates:
        raise WeightsError(
            f"{checkpoint}: not a checkpoint of {' or '.join(names)} with the preset {preset}; name another preset"
        )
    if len(candidates) > 1:
        raise WeightsError(
            f"{checkpoint}: could belong to {' or '.join(candidates)}, which give different outputs with the same "
            f"weights; choose with --models {' or --models '.join(candidates)}"
        )
    [(name, (weights, metadata))] = candidates.items()
    write_new(out, weights_content(weights, metadata.text()))
    return name


def fetch(name: str, sha256: str | None = None) -> Path:
    """Return the cached weights file of an entry of the table, downloading it first if needed.

    The addresses of the entry are tried in order. Raises WeightsError, listing all addresses and why they failed;
    OfflineError if downloads are forbidden.
    """
    entry = find_released(name)
    path = cached_path(name)
    if _is_cached(path, sha256):
        return path
    failures = []
    with _alone(name):
        if _is_cached(path, sha256):
            return path
        for address in entry.addresses:
            try:
                return _downloaded(name, entry, address, sha256)
            except (DownloadError, WeightsError) as error:
                failures.append(f"{address} {error}")
    reason = "; ".join(failures) or "no address is known"
    raise WeightsError(f"{name} could not be fetched: {reason}; if you have the file: srbench weights add {name} FILE")


def _is_cached(path: Path, sha256: str | None) -> bool:
    """Return whether weights, converted from a file of this SHA-256 if it is known, are in the cache."""
    if not path.is_file():
        return False
    cached = read_metadata(load_metadata(path), path).converted_from_sha256
    return sha256 is None or cached == sha256.lower()


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Let no other process write the weights at the same time; errors of a full disk name them."""
    path = cached_path(name)
    with locked(path.with_name(f".{name}.lock"), f"downloading {name}"), disk_faults_named(path):
        yield


def add(name: str, source: str, sha256: str | None = None) -> Path:
    """Cache the weights of an entry of the table from a file or a URL, replacing an earlier copy.

    Raises WeightsError, OfflineError.
    """
    entry = find_released(name)
    try:
        with _alone(name):
            if "://" in source:
                return _downloaded(name, entry, source, sha256)
            return _keep(name, entry, Path(source), sha256)
    except (DownloadError, WeightsError) as error:
        raise WeightsError(f"{source} {error}") from None


def _downloaded(name: str, entry: ReleasedWeights, address: str, sha256: str | None) -> Path:
    file = cache_folder("weights") / f"{name}-{sha256_texts(address)[:12]}"
    download(address, file, entry.file)
    try:
        path = _keep(name, entry, file, sha256, address)
    except SRBenchError:
        file.unlink()  # useless; one that a full disk cannot hold is kept
        raise
    file.unlink()
    return path


def _keep(name: str, entry: ReleasedWeights, source: Path, sha256: str | None, address: str | None = None) -> Path:
    """Unpack, check and convert a file into the cache. Raises WeightsError, whose message follows the source's name."""
    if not source.is_file():  # opening a pipe would wait for ever
        raise WeightsError("is not a file; check the path")
    with tempfile.TemporaryDirectory(dir=cache_folder("weights")) as folder:
        file = _unpacked(source, Path(folder) / entry.file)
        digest, expected = sha256_file(file), sha256 or entry.sha256
        if expected is None:
            say(f"{entry.file}: sha256 {digest} is unconfirmed; pin it with --sha256")
        elif digest != expected.lower():
            raise WeightsError(
                f"has sha256 {digest} instead of {expected}; get another copy, or trust it with --sha256 {digest}"
            )
        try:
            convert(file, entry.preset, Path(folder) / "new", entry.model, address=address)
            (Path(folder) / "new").replace(cached_path(name))
        except SRBenchError as error:
            raise WeightsError(f"could not be converted: {str(error).replace(str(file), entry.file)}") from None
    return cached_path(name)


def _unpacked(source: Path, target: Path) -> Path:
    """Unpack the member of a zip archive that has the target's name; return any other file unchanged.

    PyTorch's checkpoints are zip archives too, but without such a member.
    """
    if not zipfile.is_zipfile(source):
        return source
    try:
        with opened_archive(source) as members:
            member = next((member for member in members if member.path.name == target.name), None)
            if member is None:
                return source
            if member.size > MAX_BYTES:
                raise WeightsError(f"unpacks to {member.size} bytes; at most {MAX_BYTES} are accepted")
            with member.open() as packed, target.open("wb") as file:
                shutil.copyfileobj(packed, file)
    except ArchiveError as error:
        raise WeightsError(f"is a damaged archive ({error})") from None
    return target
