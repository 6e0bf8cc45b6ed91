"""SHA256SUMS of a run folder: what ``sha256sum -c`` checks, and what any tool can sign."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path, PurePosixPath

from srbench.run_folder.folder import RunFolder
from srbench.run_folder.manifest import FILE as MANIFEST
from srbench.run_folder.manifest import content_of
from srbench.run_folder.protocol import Manifest
from srbench.run_folder.records import KINDS
from srbench.weights.files import sha256_bytes, sha256_file

FILE = "SHA256SUMS"


def write_sums(folder: RunFolder, manifest: Manifest) -> None:
    """Write the sums of records, kept images and the manifest as it will be, sorted by name. Raises OSError."""
    names = [kind.FILE for kind in KINDS]
    sums = [f"{name}\0{sha256_file(folder.path / name)}" for name in names if (folder.path / name).exists()]
    sums.append(f"{MANIFEST}\0{sha256_bytes(content_of(manifest))}")
    sums += [f"{file.relative_to(folder.path).as_posix()}\0{known.sha256}" for file, known in folder.kept_images()]
    sums.sort()  # by name: nothing comes before the character that ends one
    buffer = BytesIO()  # of a large run the list is long: no second one beside it
    for name, _, digest in (one.partition("\0") for one in sums):
        buffer.write(f"{digest}  {name}\n".encode())
    path, text = folder.path / FILE, buffer.getvalue()
    if not (path.exists() and path.read_bytes() == text):
        folder.write(path, text)


def read_sums(path: Path) -> dict[str, str] | None:
    """The sums by name; None where there is no such file, or one that is damaged or leads outside the folder."""
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
