"""ICC profiles of version 2, written by the specification (ICC.1:2001-04): a matrix and one gamma, or grey."""

import struct

DISPLAY_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
ADOBE_RGB = ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060))
SRGB = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
"""Chromaticities x, y of red, green and blue; white is D65."""
D50 = (0.9642, 1.0, 0.8249)
_D65 = (0.95047, 1.0, 1.08883)
_BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))


def srgb_curve(size=1024):
    """Linear light at ``size`` levels of sRGB, IEC 61966-2-1."""
    levels = [index / (size - 1) for index in range(size)]
    return [level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in levels]


def rgb_profile(name, primaries, curve):
    """Bytes of a profile of a display; the curve is a gamma, or linear light at equal steps."""
    import numpy as np

    colours = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
    bradford = np.array(_BRADFORD)
    adapted = np.linalg.inv(bradford) @ np.diag(bradford @ D50 / (bradford @ _D65)) @ bradford
    columns = adapted @ colours @ np.diag(np.linalg.solve(colours, _D65))
    tags = {key: _xyz(column) for key, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns.T, strict=True)}
    return _profile(name, b"RGB ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(curve)))


def grey_profile(name, gamma):
    """Bytes of a profile of one channel."""
    return _profile(name, b"GRAY", {b"kTRC": _curve(gamma)})


def _profile(name, space, tags):
    text = name.encode() + b"\0"
    description = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)
    contents = {b"desc": description, b"cprt": b"text\0\0\0\0none\0", b"wtpt": _xyz(D50)} | tags
    table, body, start = b"", b"", 128 + 4 + 12 * len(contents)
    for key, content in contents.items():
        table += key + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size = start + len(body)
    header = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02100000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + _fixed(D50)
    return header.ljust(128, b"\0") + struct.pack(">I", len(contents)) + table + body


def _xyz(values):
    return b"XYZ \0\0\0\0" + _fixed(values)


def _fixed(values):
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _curve(curve):
    numbers = [round(curve * 256)] if isinstance(curve, float) else [round(value * 65535) for value in curve]
    return b"curv\0\0\0\0" + struct.pack(f">I{len(numbers)}H", len(numbers), *numbers)
