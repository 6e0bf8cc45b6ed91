"""The table of released weights, and where fetched ones are cached."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from srbench.files.cache import cache_folder
from srbench.files.config import load_toml
from srbench.weights.files import WeightsError
from srbench.weights.metadata import WeightsMetadata
from srbench.words import unknown

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
    trained_on: str
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


def credited(metadata: WeightsMetadata, model: str, sha256: str, address: str | None = None) -> WeightsMetadata:
    """Metadata with licence and training data of a checkpoint that ``model`` reads, if it is a released file.

    A file is released if its SHA-256 is in the table. If the table does not know the SHA-256 of the released file, the
    file has to come from an ``address`` in the table, which the text then names. Otherwise both are unknown.
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
    """Path of a fetched entry's weights file, whether it exists or not."""
    return cache_folder("weights") / f"{name}.safetensors"
