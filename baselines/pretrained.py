"""The baselines with packaged weights, weights from training, or official checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from baselines.convert import convert_esrgan, convert_rrdb
from baselines.rrdb import RRDBConfig, RRDBNet
from srbench.files.hashes import sha256_texts
from srbench.weights.files import WeightsError
from srbench.weights.metadata import read_training, stated_metadata
from srbench.weights.pretrained import PretrainedModel, load_pretrained
from srbench.weights.table import cached_path, find_released

PRETRAINED_RRDB = PretrainedModel("rrdb", RRDBNet, RRDBConfig, convert_rrdb, "baselines")
PRETRAINED_ESRGAN = PretrainedModel("esrgan", RRDBNet, RRDBConfig, convert_esrgan, "baselines")


def load_rrdb(scale: int, weights: Path | None = None) -> RRDBNet:
    """RRDB, trained with an L1 loss; from packaged weights or a weights file.

    Raises WeightsError if the file is damaged or has another scale, or no weights are packaged for this scale.
    """
    return load_pretrained(PRETRAINED_RRDB, scale, weights)


def load_esrgan(scale: int, weights: Path | None = None, strength: float = 1.0) -> RRDBNet:
    """ESRGAN, an RRDB trained adversarially; from packaged weights or a weights file.

    A strength below 1 interpolates linearly between RRDB weights (strength 0) and its own (strength 1); ESRGAN, section
    3.4, equation 4. RRDB is the packaged one or, for a weights file, the one that its training started from. Raises
    WeightsError as ``load_rrdb`` does, and if those RRDB weights are not found.
    """
    network = load_pretrained(PRETRAINED_ESRGAN, scale, weights)
    if strength == 1:
        return network
    start = _initial_rrdb(network, scale, weights)
    initial, trained = start.state_dict(), network.weights
    network.load_state_dict({name: initial[name].lerp(value, strength) for name, value in network.state_dict().items()})
    network.weights = replace(
        trained,
        sha256=sha256_texts(f"{trained.sha256} {strength} {start.weights.sha256}"),
        trained_on=f"{trained.trained_on}; interpolated: {strength:g} of these weights, the rest RRDB's",
        losses={},
    )
    return network


def _initial_rrdb(network: RRDBNet, scale: int, weights: Path | None) -> RRDBNet:
    """Load the packaged RRDB network for packaged weights, else the one that the training of a generator started from.

    The generator's metadata hold the SHA-256 of the RRDB weights, and its training folder their path. The released
    generator was trained from the released RRDB network.
    """
    if weights is None:
        return load_rrdb(scale)
    metadata = stated_metadata(weights)
    start_sha256 = metadata.start if metadata else None
    source = metadata.converted_from_sha256 if metadata else network.weights.sha256
    released, is_released = cached_path("rrdb-psnr-x4"), source == find_released("esrgan-x4").sha256
    for path in (None, released, *_start_of_training(weights.parent)):
        try:
            initial = load_rrdb(scale, path)
        except WeightsError:
            continue
        if initial.weights.sha256 == start_sha256 or (is_released and path == released):
            return initial
    raise WeightsError(
        f"{weights}: cannot be interpolated, because the RRDB weights that it was trained from were not found; "
        "name a training folder or, for released weights, run srbench weights fetch rrdb-psnr-x4"
    )


def _start_of_training(folder: Path) -> list[Path]:
    """The RRDB weights that a training folder names as its start; empty for any other folder."""
    try:
        start = read_training(folder)[1].get("start")
    except WeightsError:
        return []
    return [] if start is None else [Path(start)]
