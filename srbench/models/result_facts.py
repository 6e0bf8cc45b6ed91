"""Facts of results made elsewhere, which their folder states in ``facts.toml``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from srbench.system.config import load_toml, require_range

FILE = "facts.toml"


@dataclass(frozen=True)
class ResultFacts:
    """Contents of ``facts.toml``; all of it may be left out."""

    colour_fix: str | None = None
    """Correction of the outputs' colours to those of LR: ``wavelet``, ``adain``, ``none``."""
    tile: int | None = None
    """Side of the tiles in LR pixels; 0 for images that were upscaled whole."""
    steps: int | None = None
    """Number of sampler steps."""
    temperature: float | None = None
    """Sampling temperature."""
    source: str | None = None
    """Web page, commit or person that the results come from."""

    def __post_init__(self) -> None:
        """Raise ValueError for a negative number."""
        given = [name for name in ("tile", "steps", "temperature") if getattr(self, name) is not None]
        require_range(self, given, low=0)


def stated_facts(folder: Path) -> dict[str, str]:
    """Facts that a folder of results states, as texts by name; empty if it has no ``facts.toml``.

    Raises ConfigError that names every unknown key and every value of another type.
    """
    path = folder / FILE
    found = asdict(load_toml(path, ResultFacts)) if path.exists() else {}
    return {name.replace("_", " "): str(value) for name, value in found.items() if value is not None}
