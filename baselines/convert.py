"""Official RRDB and ESRGAN checkpoints -> ours: the names of the ESRGAN and SRFlow repositories."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

_BLOCK = re.compile(r"RRDB_trunk\.(\d+)\.RDB(\d)\.conv(\d)\.(weight|bias)")
_OTHER = {
    "conv_first": "conv_first",
    "trunk_conv": "conv_body",
    "HRconv": "conv_hr",
    "conv_last": "conv_last",
}


def rrdb_from_official(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of an RRDBNet; names that belong to none are kept as they are."""
    return {_rename(name): tensor for name, tensor in state_dict.items()}


def _rename(name: str) -> str:
    block = _BLOCK.fullmatch(name)
    if block:
        index, dense, conv, kind = block.groups()
        return f"body.{index}.{int(dense) - 1}.convs.{int(conv) - 1}.{kind}"
    layer, _, kind = name.partition(".")
    if layer.startswith("upconv"):
        return f"conv_up.{int(layer.removeprefix('upconv')) - 1}.{kind}"
    return f"{_OTHER.get(layer, layer)}.{kind}"
