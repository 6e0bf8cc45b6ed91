"""The table of released weights, and where fetched ones are cached."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from srbench.system.cache import cache_folder
from srbench.system.config import load_toml
from srbench.system.file_names import unknown
from srbench.weights.files import WeightsError

_TABLE = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True)
class ReleasedWeights:
    """A file that the authors of a model have released."""

    model: str
    """Model whose converter reads the file."""
    preset: str
    """Preset with the size of the network."""
    file: str
    """File name, also inside an archive."""
    addresses: tuple[str, ...]
    """URLs, past or present, the authors' own first; of the file itself or of a zip archive that holds it."""
    licence: str
    """SPDX identifier."""
    trained_on: str
    """Dataset, number of steps, and who trained it."""
    sha256: str | None = None
    """SHA-256 of the file; None if unknown."""


def released_weights() -> dict[str, ReleasedWeights]:
    """All entries by name, in the order of the file."""
    return load_toml(_TABLE, dict[str, ReleasedWeights])


def find_released(name: str) -> ReleasedWeights:
    """The entry with this name. Raises WeightsError that suggests a similar name."""
    table = released_weights()
    if name not in table:
        raise WeightsError(unknown("weights", name, table))
    return table[name]


@dataclass(frozen=True)
class Origin:
    """Licence and provenance of a checkpoint."""

    licence: str
    """SPDX identifier, or ``unknown``."""
    trained_on: str
    """Dataset, number of steps, and who trained it; or why that is unknown."""


def origin(model: str, preset: str | None, sha256: str, address: str | None = None) -> Origin:
    """Credit a checkpoint to the authors if its SHA-256 is in the table; otherwise its licence is unknown.

    Without a SHA-256 in the table, it is credited only if it was downloaded from an ``address`` in the table, which
    the text then names.
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
    """Path of a fetched entry's weights file, whether it exists or not."""
    return cache_folder("weights") / f"{name}.safetensors"
