"""The table of released weights, and the folder where fetched ones are kept, ready to load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from srbench.interfaces import SRBenchError
from srbench.system.cache import cache_folder
from srbench.system.config import load_toml
from srbench.system.file_names import unknown

_TABLE = Path(__file__).with_suffix(".toml")


class WeightsTableError(SRBenchError):
    """A name that is not in the table, or a file that could not be had."""


@dataclass(frozen=True)
class ReleasedWeights:
    """One file that the authors of a model have released."""

    model: str
    """Whose converter reads it."""
    preset: str
    """Size of the network."""
    file: str
    """Its name, also inside an archive."""
    addresses: tuple[str, ...]
    """Where it is or was, the authors' own first; of the file itself or of a zip archive that holds it."""
    licence: str
    """SPDX identifier."""
    trained_on: str
    """Data, number of steps and who did it."""
    sha256: str | None = None
    """Of the file; None where none is known."""


def released_weights() -> dict[str, ReleasedWeights]:
    """The whole table by name, in its order."""
    return load_toml(_TABLE, dict[str, ReleasedWeights])


def find_released(name: str) -> ReleasedWeights:
    """The entry of a name. Raises WeightsTableError that names the near miss."""
    table = released_weights()
    if name not in table:
        raise WeightsTableError(unknown("weights", name, table))
    return table[name]


@dataclass(frozen=True)
class Origin:
    """Whose the numbers of a checkpoint are."""

    licence: str
    """SPDX identifier, or ``unknown``."""
    trained_on: str
    """Data, number of steps and who did it, or why that is not known."""


def origin(model: str, preset: str | None, sha256: str, address: str | None = None) -> Origin:
    """Whose a checkpoint is: the authors' where its sha256 is that of a file in the table, else nobody's.

    A released file whose sha256 is not known is the authors' only if it came from an ``address`` of the table, which is
    then named.
    """
    table = released_weights()
    for entry in table.values():
        if entry.sha256 == sha256:
            return Origin(entry.licence, entry.trained_on)
    for name, entry in table.items():
        if (entry.model, entry.preset) == (model, preset) and entry.sha256 is None:
            if address in entry.addresses:
                return Origin(entry.licence, f"{entry.trained_on}; downloaded from {address}, its sha256 unconfirmed")
            return Origin(
                "unknown", f"unknown (may be a copy of the released {name} or not: the sha256 of that is not known)"
            )
    return Origin("unknown", "unknown (not a released file)")


def cached_path(name: str) -> Path:
    """The weights file that a fetched entry becomes; it need not exist."""
    return cache_folder("weights") / f"{name}.safetensors"
