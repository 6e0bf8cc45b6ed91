"""Qt binary resource files (.rcc), in which some Debian packages keep their images."""

from __future__ import annotations

import struct
import zlib


def read_resources(content: bytes) -> dict[str, bytes]:
    """Path and content of every file in a Qt resource file of version 1 to 3, uncompressed or compressed by zlib.

    The format is that of Qt's ``qresource.cpp``: a header that says where tree, data and names begin, big-endian.
    """
    version, tree, data, names = struct.unpack_from(">IIII", content, 4)
    node_size = 14 if version == 1 else 22

    def name(offset: int) -> str:
        (length,) = struct.unpack_from(">H", content, names + offset)
        return content[names + offset + 6 : names + offset + 6 + 2 * length].decode("utf-16-be")

    def walk(index: int, folder: str) -> dict[str, bytes]:
        node = tree + index * node_size
        offset, flags = struct.unpack_from(">IH", content, node)
        path = f"{folder}/{name(offset)}" if index else ""
        if flags & 2:  # a folder
            count, first = struct.unpack_from(">II", content, node + 6)
            return {key: file for child in range(first, first + count) for key, file in walk(child, path).items()}
        start = data + struct.unpack_from(">I", content, node + 10)[0]
        (length,) = struct.unpack_from(">I", content, start)
        body = content[start + 4 : start + 4 + length]
        return {path: zlib.decompress(body[4:]) if flags & 1 else body}

    return walk(0, "")
