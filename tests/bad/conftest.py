"""Bad inputs, made once, and what has to come of every one of them: one line, an exit code, and nothing changed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shlex
import signal
import socket
import struct
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from srbench.images.io import write_png

SECONDS = 300
"""A command that is not through by then hangs, on the busiest of machines too: all but a few take one second."""


def drawn(seed, height=32, width=32):
    """(3, h, w) uint8 without flat regions."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((1, 3, height // 4 + 2, width // 4 + 2), generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)
    return smooth[0].mul(255).to(torch.uint8)


def png_bytes(width, height, depth=8, colour=2, rows=b""):
    """A PNG that states a size and has these rows of it, compressed as they are."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def with_exif(exif):
    """A fine JPEG with these bytes as its EXIF."""
    buffer = io.BytesIO()
    Image.fromarray(drawn(1).permute(1, 2, 0).numpy()).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def in_format(name):
    """A fine image in a format of Pillow."""
    buffer = io.BytesIO()
    Image.fromarray(drawn(1).permute(1, 2, 0).numpy()).save(buffer, name)
    return buffer.getvalue()


def _images(bad):
    """One folder a fault, with a fine image ``a`` and a bad one ``b`` in each; and fine folders beside them."""
    for name, seeds in {"fine": (1, 2), "lr": (3, 4), "results": (5, 6)}.items():
        for stem, seed in zip("ab", seeds, strict=True):
            write_png(bad / name / f"{stem}.png", drawn(seed, 8, 8) if name == "lr" else drawn(seed))
    whole = (bad / "fine" / "b.png").read_bytes()
    exif = "45786966 00004d4d 002a0000 00080002 01120003 00000001 00060000 {} 00000026 00000000 00000048 00000001"
    for name, file, content in (
        ("exif", "b.jpg", with_exif(bytes.fromhex(exif.format("01030005 00000001")))),
        ("exif-value", "b.jpg", with_exif(bytes.fromhex(exif.format("011a0002 00000005")))),
        ("cut", "b.png", whole[: len(whole) // 2]),
        ("text", "b.png", b"no image\n"),
        ("empty", "b.png", b""),
        ("zeros", "b.jpg", bytes(4096)),
        ("promised", "b.png", png_bytes(60_000, 60_000)),
        ("none", "b.png", png_bytes(0, 0)),
        ("rows", "b.png", png_bytes(32, 32, rows=bytes(97))),
        ("eps", "b.png", in_format("EPS")),
        ("gif", "b.jpg", in_format("GIF")),
    ):
        write_png(bad / name / "a.png", drawn(1))
        (bad / name / file).write_bytes(content)
    write_png(bad / "tiny" / "a.png", drawn(1, 2, 2))
    write_png(bad / "twice" / "a.png", drawn(1))
    (bad / "twice" / "a.jpg").write_bytes(with_exif(b""))
    for name in ("floats", "negative"):
        write_png(bad / name / "a.png", drawn(1))
    Image.new("F", (32, 32), 0.5).save(bad / "floats" / "b.tif")
    Image.new("I", (32, 32), -7).save(bad / "negative" / "b.tif")


def _names(bad):
    """Folders in which something has the name of an image and cannot be one, or has no name that can be kept."""
    for name in ("long", "bytes", "linked", "looped", "pipe", "folder", "socket", "lines"):
        write_png(bad / name / "a.png", drawn(1))
    write_png(bad / "long" / "b.png", drawn(2))
    (bad / "long" / "b.png").rename(bad / "long" / f"{'b' * 240}.png")
    write_png(bad / "lines" / "b\nsrbench: all is well.png", drawn(2))
    os.rename(  # noqa: PTH104 - the name is bytes
        (bad / "lr" / "b.png"), os.fsencode(bad / "bytes") + b"/b\xff\xfe.png"
    )
    write_png(bad / "lr" / "b.png", drawn(4, 8, 8))
    (bad / "linked" / "b.png").symlink_to(bad / "nowhere.png")
    (bad / "looped" / "b.png").symlink_to(bad / "looped" / "b.png")
    os.mkfifo(bad / "pipe" / "b.png")
    (bad / "folder" / "b.png").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        before = Path.cwd()
        os.chdir(bad / "socket")  # the address of a socket is short
        listening.bind("b.png")
        os.chdir(before)
    os.mkfifo(bad / "pipe.toml")
    os.mkfifo(bad / "pipe.safetensors")
    os.mkfifo(bad / "pipe.pth")
    (bad / "nothing").mkdir()


def _settings(bad):
    """bench.toml files, suites and presets."""
    fine = 'models = ["bicubic"]\nscale = 4\ndata = "photos"\nlimit = 1\n'
    for name, text in {
        "no.toml": "models = [",
        "bytes.toml": "\udcff",
        "key.toml": f"{fine}modles = 3\n",
        "type.toml": fine.replace("scale = 4", 'scale = "4"'),
        "scale.toml": fine.replace("scale = 4", "scale = 10000000000000000000000"),
        "digits.toml": f"{fine}seed = {'9' * 5000}\n",
        "seed.toml": f"{fine}seed = -1\n",
        "temperature.toml": f"{fine}temperature = [nan]\n",
        "models.toml": fine.replace('["bicubic"]', "[]"),
        "both.toml": f'{fine}hr = "here"\n',
        "deep.toml": f"models = {'[' * 5000}{']' * 5000}\n",
        "device.toml": f'{fine}device = "tpu"\n',
        "suite.toml": 'name = "mine"\nversion = 1\nmetrics = []\n',
        "suite-name.toml": 'name = "srflow"\nversion = 1\nmetrics = ["psnr"]\n',
        "suite-metric.toml": 'name = "mine"\nversion = 1\nmetrics = ["psnr+channels=Z"]\n',
        "suite-border.toml": 'name = "mine"\nversion = 1\nmetrics = ["psnr+border=999999999999999999999"]\n',
        "suite-quantize.toml": 'name = "mine"\nversion = 1\nmetrics = ["psnr"]\nquantize = "up"\n',
    }.items():
        (bad / name).write_bytes(text.encode(errors="surrogateescape"))
    (bad / "raises.py").write_text("raise RuntimeError('at once\\nand twice')\n")
    (bad / "syntax.py").write_text("def (\n")
    (bad / "ends.py").write_text("import sys\nsys.exit(3)\n")
    (bad / "models.py").write_text(MODELS)


MODELS = """
import sys
import torch.nn.functional as F

from srbench.interfaces import MetricFacts


class Half:
    scale = 4

    def __call__(self, lr):
        return F.interpolate(lr, scale_factor=2)


class Ends(Half):
    def __call__(self, lr):
        sys.exit(0)


class Recursive(Half):
    def __call__(self, lr):
        return self(lr)


class Metric:
    facts = MetricFacts(name="mine", title="A_b|$&\\n<b>", direction=1, protocol="mine")

    def __call__(self, samples, pair):
        return samples.mean((1, 2, 3))


class Ending(Metric):
    def __call__(self, samples, pair):
        sys.exit(0)
"""


@pytest.fixture(scope="session")
def bad(tmp_path_factory):
    """The folder of all of them."""
    folder = tmp_path_factory.mktemp("bad")
    for make in (_images, _names, _settings):
        make(folder)
    return folder


def state(folder):
    """What is in a folder: kinds, links, contents."""
    found = {}
    for root, folders, files in os.walk(os.fsencode(folder)):
        for name in [*folders, *files]:
            path = Path(os.fsdecode(os.path.join(root, name)))  # noqa: PTH118 - bytes
            kind = path.lstat().st_mode
            content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
            found[os.fsencode(path)] = (kind, hashlib.sha256(os.fsencode(content)).hexdigest())
    return found


class HangsError(BaseException):
    """No Exception, and above all no OSError: those are caught on the way."""


@contextmanager
def no_hang(what):
    def late(*_):
        raise HangsError(f"{what} hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def in_time():
    """``with in_time("verify"):`` something that would hang."""
    return no_hang


@pytest.fixture
def refused(srbench, bad, tmp_path, monkeypatch):
    """refused("run --data {bad}/x", "what it says"): the command fails as it has to. Returns what it printed."""
    monkeypatch.chdir(tmp_path)

    def call(command, says, code=1, *, kept=()):
        words = [word.format(bad=bad, here=tmp_path) for word in shlex.split(command)]
        given = [bad, *(tmp_path / name for name in kept)]
        before = [state(folder) for folder in given]
        with no_hang(command):
            found = srbench(*words)
        assert found.exception is None or isinstance(found.exception, SystemExit), found.exc_info
        assert "Traceback" not in found.output
        lines = found.stderr.splitlines()
        last = lines[-1] if lines else ""
        assert last.startswith("srbench: "), found.output
        assert re.search(says, last), last
        assert found.exit_code == code, found.output
        assert [state(folder) for folder in given] == before, "something of the user's has changed"
        return found

    return call


_ = (json, zipfile, save_file)
