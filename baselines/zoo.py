"""The baselines with packaged, trained or official weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from baselines.convert import convert_esrgan, convert_rrdb
from baselines.rrdb import RRDBConfig, RRDBNet
from srbench.files.hashes import sha256_bytes
from srbench.weights.files import TRAINING, WeightsError
from srbench.weights.metadata import stated_metadata
from srbench.weights.pretrained import Family, load_pretrained
from srbench.weights.table import cached_path, find_released

_RRDB = Family("rrdb", RRDBNet, RRDBConfig, convert_rrdb, "baselines")
_ESRGAN = Family("esrgan", RRDBNet, RRDBConfig, convert_esrgan, "baselines")


def load_rrdb(scale: int, weights: Path | None = None) -> RRDBNet:
    """RRDB trained with an L1 loss: packaged weights, or a weights file.

    Raises WeightsError if the file is damaged or of another scale, or the scale has no packaged weights.
    """
    return load_pretrained(_RRDB, scale, weights)


def load_esrgan(scale: int, weights: Path | None = None, strength: float = 1.0) -> RRDBNet:
    """ESRGAN (an RRDB generator): packaged weights, or a weights file.

    A strength below 1 interpolates linearly between the weights of the RRDB network that its training started from
    (strength 0) and its own (strength 1); ESRGAN, section 3.4, equation 4. Raises WeightsError as ``load_rrdb`` does,
    and if that RRDB network is not found.
    """
    network = load_pretrained(_ESRGAN, scale, weights)
    if strength == 1:
        return network
    start = _initial_rrdb(network, scale, weights)
    initial, known = start.state_dict(), network.weights
    network.load_state_dict({name: initial[name].lerp(value, strength) for name, value in network.state_dict().items()})
    network.weights = replace(
        known,
        sha256=sha256_bytes(f"{known.sha256} {strength} {start.weights.sha256}".encode()),
        trained_on=f"{known.trained_on}; {strength:g} of these weights, the rest of the RRDB network before",
        losses={},
    )
    return network


def _initial_rrdb(network: RRDBNet, scale: int, weights: Path | None) -> RRDBNet:
    """The RRDB network that the training of an ESRGAN generator started from.

    The metadata of a trained generator hold its SHA-256, and the training folder its path. The released generator was
    trained from the released RRDB network.
    """
    if weights is None:
        return load_rrdb(scale)
    metadata = stated_metadata(weights)
    wanted = metadata.start if metadata else None
    source = metadata.converted_from_sha256 if metadata else network.weights.sha256
    released, is_released = cached_path("rrdb-psnr-x4"), source == find_released("esrgan-x4").sha256
    for place in (None, released, *_start_of_training(weights.parent)):
        try:
            initial = load_rrdb(scale, place)
        except WeightsError:
            continue
        if initial.weights.sha256 == wanted or (is_released and place == released):
            return initial
    raise WeightsError(
        f"{weights}: the RRDB weights that it was trained from are not known here, so it cannot be interpolated; "
        "name a training folder or, for released weights, run srbench weights fetch rrdb-psnr-x4"
    )


def _start_of_training(folder: Path) -> list[Path]:
    """The RRDB weights that a training folder names; empty for any other folder."""
    try:
        start = json.loads((folder / TRAINING).read_text())["request"]["start"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [] if start is None else [Path(start)]
