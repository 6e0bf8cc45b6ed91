"""Files beside an ONNX graph that hold its weights."""

from __future__ import annotations

import re
from pathlib import Path

_LOCATION = b"\n\x08location\x12"
"""Key of an entry of ONNX before the name of a file: field 1, 8 bytes, the word, and the tag of field 2."""


def external_data(path: Path) -> list[Path]:
    """Files that hold a part of the weights of an ONNX file, which names them by relative paths."""
    if path.suffix.lower() != ".onnx":
        return []
    graph = path.read_bytes()
    names = {_text_at(graph, found.end()) for found in re.finditer(re.escape(_LOCATION), graph)}
    return sorted(one for name in names if "\0" not in name and (one := path.parent / name).is_file() and one != path)


def _text_at(message: bytes, start: int) -> str:
    """A text of a protobuf message, after its length: seven bits a byte, the lowest first."""
    length = shift = 0
    for end in range(start, min(start + 3, len(message))):
        length |= (message[end] & 127) << shift
        shift += 7
        if message[end] < 128:
            return message[end + 1 : end + 1 + length].decode(errors="replace")
    return ""
