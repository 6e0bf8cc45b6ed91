"""The metrics of ``srbench explain`` by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from srbench.explaining.protocols.family import ProtocolFamily
from srbench.explaining.protocols.features import PYIQA, LPIPSProtocols, NIQEProtocols, PyiqaProtocols, SetProtocols
from srbench.explaining.protocols.pixels import PSNRProtocols
from srbench.explaining.protocols.structure import SSIMProtocols
from srbench.metrics import MetricError
from srbench.words import unknown

FAMILIES: Mapping[str, type[ProtocolFamily]] = {
    "psnr": PSNRProtocols,
    "ssim": SSIMProtocols,
    "lpips": LPIPSProtocols,
    "niqe": NIQEProtocols,
    "fid": SetProtocols,
    "kid": SetProtocols,
}
"""Metrics that can be explained, by name, besides those of pyiqa."""


@cache
def family(name: str) -> ProtocolFamily:
    """Return the protocols of a metric, or of ``pyiqa:NAME``. Raises MetricError if it cannot be explained."""
    if name.startswith(PYIQA):
        return PyiqaProtocols(name)
    if name not in FAMILIES:
        raise MetricError(unknown("metric to explain", name, [*FAMILIES, f"{PYIQA}NAME"]))
    return FAMILIES[name](name)
