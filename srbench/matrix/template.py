"""The file of options that ``srbench init`` writes, to be edited."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from srbench.images.io import write_whole
from srbench.matrix import MatrixError

TEMPLATE = (files("srbench.matrix") / "bench.toml").read_text(encoding="utf-8")


def write_template(path: Path) -> None:
    """Write a commented bench.toml. Raises MatrixError if the file already exists."""
    if path.exists():
        raise MatrixError(f"{path}: already exists; name another file")
    write_whole(path, TEMPLATE.encode())
