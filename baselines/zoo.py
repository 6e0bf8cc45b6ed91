"""The baselines with their weights: the packaged ones, those of a training, and official checkpoints."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from baselines.convert import convert_esrgan, convert_rrdb
from baselines.rrdb import RRDBConfig, RRDBNet
from srbench.weights.files import WeightsError, load_weights
from srbench.weights.metadata import read_metadata
from srbench.weights.pretrained import Family, load_pretrained
from srbench.weights.table import cached_path

_RRDB = Family("rrdb", RRDBNet, RRDBConfig, convert_rrdb, "baselines")
_ESRGAN = Family("esrgan", RRDBNet, RRDBConfig, convert_esrgan, "baselines")


def load_rrdb(scale: int, weights: Path | None = None) -> RRDBNet:
    """RRDB trained with an L1 loss: packaged weights, or a weights file.

    Raises WeightsError where the file is damaged or of another scale, or where none is packaged for the scale.
    """
    return load_pretrained(_RRDB, scale, weights)


def load_esrgan(scale: int, weights: Path | None = None, strength: float = 1.0) -> RRDBNet:
    """ESRGAN (an RRDB generator): packaged weights, or a weights file.

    With a strength below 1, its weights times that plus those of the RRDB network that it was trained from times the
    rest: between the sharp and the faithful image (ESRGAN, section 3.4, equation 4).
    Raises WeightsError where the file is damaged or of another scale, where none is packaged for the scale, or where
    the RRDB network is not to be found.
    """
    network = load_pretrained(_ESRGAN, scale, weights)
    if strength == 1:
        return network
    start = _before_the_discriminator(network, scale, weights)
    merged = start.state_dict()
    network.load_state_dict({name: merged[name].lerp(value, strength) for name, value in network.state_dict().items()})
    known = network.weights
    network.weights = replace(
        known,
        sha256=hashlib.sha256(f"{known.sha256} {strength} {start.weights.sha256}".encode()).hexdigest(),
        trained_on=f"{known.trained_on}; {strength:g} of these weights, the rest of the RRDB network before",
        losses={},
    )
    return network


def _before_the_discriminator(network: RRDBNet, scale: int, weights: Path | None) -> RRDBNet:
    """The RRDB network whose weights an ESRGAN generator began with.

    A weights file says which by its hash, and the folder of a training where; released ones began with the released.
    """
    if weights is None:
        return load_rrdb(scale)
    wanted = read_metadata(load_weights(weights)[1], weights).start if weights.suffix == ".safetensors" else None
    places = [None, cached_path("rrdb-psnr-x4"), *_start_of_training(weights.parent)]
    for place in places:
        try:
            found = load_rrdb(scale, place)
        except WeightsError:
            continue
        if found.weights.sha256 == wanted or (not wanted and place is not None and found.config == network.config):
            return found
    raise WeightsError(
        f"{weights}: the RRDB weights that it was trained from are not known here, so nothing can be interpolated; "
        "name a training's folder or, for released weights, srbench weights fetch rrdb-psnr-x4"
    )


def _start_of_training(folder: Path) -> list[Path]:
    try:
        start = json.loads((folder / "training.json").read_text())["request"]["start"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [] if start is None else [Path(start)]
