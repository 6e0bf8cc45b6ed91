"""Temperatures chosen on validation images for weights that cannot say it themselves, by the SHA-256 of their files."""

from __future__ import annotations

from typing import Final

CHOSEN: Final = {
    "fe5c9c0e3257580d05d83aefffd9b2aa4e44e7fa9012400674713a53c93a04b2": 0.85,  # srflow 4x
    "c42c855455579dc6cf1f62e73e1604ffa4679fc0b229fb04771522a85ad5d4f5": 0.84,  # srflow 8x
    "af060888634d92ae5b2fd1d93b8b0a75626bef6ac027d12b14ae7b9dad19669d": 0.85,  # srflow-perceptual 4x
    "ffc1e1570bb4aeb0ca3942159240b8829f048c2dbf89a50efb70807b76e673ee": 0.75,  # srflow-perceptual 8x
}
"""Temperatures of the packaged weights: docs/zoo.md, "Temperature, from validation" and "The second stage"."""
