"""Bad inputs, made once, and what has to come of every one of them: one line, an exit code, and nothing changed."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shlex
import signal
import socket
import struct
import zlib
from contextlib import contextmanager
from pathlib import Path

import pytest
from builders import drawn
from PIL import Image

from srbench.images.io import write_png

SECONDS = 300
"""A command that is not through by then hangs, on the busiest of machines too: all but a few take one second."""


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


class Empty(Half):
    def __call__(self, lr):
        return F.interpolate(lr, scale_factor=4) * float("nan")


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


@pytest.fixture(scope="session")
def finished(srbench, bad, tmp_path_factory):
    """A finished run of two images and two metrics, one of them with a title that is markup in three languages."""
    folder, metrics = tmp_path_factory.mktemp("finished") / "run", f"psnr,{bad}/models.py:Metric"
    options = ("--scale", 4, "--metrics", metrics, "--workers", 1, "--data", bad / "fine", "--out", folder)
    found = srbench("run", "--models", "bicubic", *options)
    assert found.exit_code == 0, found.output
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
    monkeypatch.setattr("srbench.reporting.report.write_plots", lambda *given: [])  # they take longer than all else

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
