"""A folder of inputs that no command can use: images, names, settings and code."""

from __future__ import annotations

import io
import os
import socket
import struct
import zlib
from pathlib import Path

import torch
from builders import drawn
from PIL import Image

from srbench.images.io import write_png


def png_bytes(width, height):
    """A PNG that states a size and has no rows."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"", 9)) + chunk(b"IEND", b"")


def encoded(kind, **options):
    """A fine image in a format of Pillow."""
    Image.fromarray(drawn(1).permute(1, 2, 0).numpy()).save(buffer := io.BytesIO(), kind, **options)
    return buffer.getvalue()


def _images(bad):
    """One folder a fault, with a fine image ``a`` and a bad one ``b`` in each; and fine folders beside them."""
    for seed, stem in enumerate("ab", 1):
        write_png(bad / "fine" / f"{stem}.png", drawn(seed))
        write_png(bad / "lr" / f"{stem}.png", drawn(seed + 2, 8, 8))
    whole = (bad / "fine" / "b.png").read_bytes()
    for name, file, content in (
        ("cut", "b.png", whole[: len(whole) // 2]),
        ("endless", "b.jpg", encoded("JPEG")[:-2]),
        ("empty", "b.png", b""),
        ("promised", "b.png", png_bytes(60_000, 60_000)),
        ("eps", "b.png", encoded("EPS")),
    ):
        write_png(bad / name / "a.png", drawn(1))
        (bad / name / file).write_bytes(content)
    write_png(bad / "tiny" / "a.png", drawn(1, 2, 2))
    for stem in "abcde":
        write_png(bad / "five" / f"{stem}.png", drawn(1))


def _names(bad):
    """Folders in which much has the name of an image and cannot be read, or has a name that no output can have."""
    for folder, side in (("odd", 32), ("odd-lr", 8)):
        write_png(bad / folder / "a.png", drawn(1, side, side))
        fine = (bad / folder / "a.png").read_bytes()
        for name in ("twice.png", f"{'b' * 240}.png", "line\nbreak.png", os.fsdecode(b"bytes\xff\xfe.png")):
            (bad / folder / name).write_bytes(fine)
        (bad / folder / "twice.jpg").write_bytes(encoded("JPEG"))
        (bad / folder / "link.png").symlink_to(bad / "nowhere.png")
        (bad / folder / "loop.png").symlink_to(bad / folder / "loop.png")
        os.mkfifo(bad / folder / "pipe.png")
        (bad / folder / "folder.png").mkdir()
        with socket.socket(socket.AF_UNIX) as listening:
            before = Path.cwd()
            os.chdir(bad / folder)  # the address of a socket is short
            listening.bind("socket.png")
            os.chdir(before)
    for end in ("toml", "safetensors", "pth"):
        os.mkfifo(bad / f"pipe.{end}")
    (bad / "nothing").mkdir()


def _settings(bad):
    """bench.toml files, suites and presets."""
    fine = 'models = ["bicubic"]\nscale = 4\ndata = "photos"\nlimit = 1\n'
    for name, text in {
        "no.toml": "models = [",
        "bytes.toml": "\udcff",
        "nul.toml": f'{fine}out = "a\\u0000b"\n',
        "key.toml": f"{fine}modles = 3\n",
        "type.toml": fine.replace("scale = 4", 'scale = "4"'),
        "scale.toml": fine.replace("scale = 4", "scale = 10000000000000000000000"),
        "seed.toml": f"{fine}seed = -1\n",
        "temperature.toml": f"{fine}temperature = [nan]\n",
        "models.toml": fine.replace('["bicubic"]', "[]"),
        "samples.toml": f"{fine}samples = 0\n",
        "metrics.toml": f"{fine}metrics = []\n",
        "both.toml": f'{fine}hr = "here"\n',
        "deep.toml": f"models = {'[' * 5000}{']' * 5000}\n",
        "device.toml": f'{fine}device = "tpu"\n',
    }.items():
        (bad / name).write_bytes(text.encode(errors="surrogateescape"))
    (bad / "raises.py").write_text("raise RuntimeError('at once\\nand twice')\n")
    (bad / "syntax.py").write_text("def (\n")
    (bad / "ends.py").write_text("import sys\nsys.exit(3)\n")
    (bad / "models.py").write_text(MODELS)
    torch.save({"a": _Malicious()}, bad / "evil.pth")


class _Malicious:
    """Loading its pickle would write the file ``ran``."""

    def __reduce__(self):
        return os.system, ("touch ran",)


MODELS = """
import sys
import torch.nn.functional as F

from srbench.interfaces import ImageMetric, MetricInfo


class Half:
    scale = 4

    def __call__(self, lr):
        return F.interpolate(lr, scale_factor=2)


class Empty(Half):
    def __call__(self, lr):
        return F.interpolate(lr, scale_factor=4) * float("nan")


class Ends(Half):
    def __call__(self, lr):
        sys.exit(0)


class Recursive(Half):
    def __call__(self, lr):
        return self(lr)


class Ending(ImageMetric):
    info = MetricInfo(name="mine", title="Mine", direction=1, protocol="mine")

    def __call__(self, samples, pair):
        sys.exit(0)
"""


def make_bad_inputs(folder):
    """Write all of them into a folder."""
    _images(folder)
    _names(folder)
    _settings(folder)
