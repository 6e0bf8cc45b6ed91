"""The table of released weights, and the cache of downloaded weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from srbench.files.config import load_toml
from srbench.files.paths import cache_folder
from srbench.weights.files import WeightsError
from srbench.weights.metadata import WeightsMetadata
from srbench.words import unknown

_TABLE = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True)
class ReleasedWeights:
    """A file released by the authors of a model."""

    model: str
    """Model whose converter reads the file."""
    preset: str
    """Preset with the size of the network."""
    file: str
    """File name, also inside an archive."""
    addresses: tuple[str, ...]
    """URLs, past or present, of the file itself or of a zip archive that holds it; the authors' own first."""
    licence: str
    trained_on: str
    sha256: str | None = None
    """SHA-256 of the file; None if unknown."""


def released_weights() -> dict[str, ReleasedWeights]:
    """All entries of the table by name, in order."""
    return load_toml(_TABLE, dict[str, ReleasedWeights])


def find_released(name: str) -> ReleasedWeights:
    """The entry with this name. Raises WeightsError, suggesting a similar name."""
    table = released_weights()
    if name not in table:
        raise WeightsError(unknown("weights", name, table))
    return table[name]


def with_licence(metadata: WeightsMetadata, model: str, sha256: str, address: str | None = None) -> WeightsMetadata:
    """Add licence and training data to the metadata of a checkpoint that ``model`` reads, if it is a released file.

    A file counts as released if its SHA-256 is in the table or, for entries without a SHA-256, if it was downloaded
    from an ``address`` in the table, which ``trained_on`` then names. Otherwise licence and training data are unknown.
    """
    for entry in released_weights().values():
        if entry.sha256 == sha256:
            return replace(metadata, licence=entry.licence, trained_on=entry.trained_on)
        is_same_network = (entry.model, entry.preset) == (model, metadata.preset)
        if entry.sha256 is None and is_same_network and address in entry.addresses:
            trained_on = f"{entry.trained_on}; downloaded from {address}, its sha256 unconfirmed"
            return replace(metadata, licence=entry.licence, trained_on=trained_on)
    return replace(metadata, licence="unknown", trained_on="unknown (not known to be a released file)")


def cached_path(name: str) -> Path:
    """Path of the cached weights file of an entry, whether or not it exists."""
    return cache_folder("weights") / f"{name}.safetensors"
