"""SHA256SUMS of a run folder, which ``sha256sum -c`` checks and any tool can sign."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from srbench.run_folder.folder import RunFolder
from srbench.run_folder.manifest import FILE as MANIFEST
from srbench.run_folder.records import KINDS
from srbench.weights.files import sha256_bytes, sha256_file

FILE = "SHA256SUMS"


def write_sums(folder: RunFolder, manifest: bytes) -> None:
    """Write the sums of records, kept images and ``manifest.json`` as it will be, sorted by name. Raises OSError."""
    sums = {kind.FILE: sha256_file(folder.path / kind.FILE) for kind in KINDS if (folder.path / kind.FILE).exists()}
    sums[MANIFEST] = sha256_bytes(manifest)
    for file, known in folder.kept_images():
        sums[file.relative_to(folder.path).as_posix()] = str(known.sha256)
    path, text = folder.path / FILE, "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()
    if not (path.exists() and path.read_bytes() == text):
        folder.write(path, text)


def read_sums(path: Path) -> dict[str, str] | None:
    """The sums by name; None if the file is missing or damaged, or names something outside the folder."""
    try:
        lines = (path / FILE).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    sums = {}
    for line in lines:
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            return None
        sums[name] = digest
    return sums
