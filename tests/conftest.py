"""What holds for every test: one thread, no GPU, no network, no command-line settings from outside."""

from __future__ import annotations

import faulthandler
import ipaddress
import os
import re
import shlex
import signal
import socket
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
import torch

with suppress(ImportError):  # tests/fuzz is skipped without it; --hypothesis-profile=long tries much more
    from hypothesis import HealthCheck, settings

    for profile, examples in {"short": 25, "long": 5000}.items():
        settings.register_profile(
            profile,
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=profile == "short",
            suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        )
    settings.load_profile("short")

# A pool of threads on a busy machine with few cores makes small tensors twenty times slower.
torch.set_num_threads(1)


NO_OTHER_SKIPS = os.environ.get("SRBENCH_FAIL_ON_SKIPS", "") not in ("", "0")
"""True where every extra is installed, so that a test may be skipped only for what follows: ``.ci/run`` sets it."""
ALLOWED_SKIPS = (
    "each system has its own folder",
    "git is not installed",
    "looks for processes in /proc",
    "needs dpkg-deb",
    "needs oneDNN",
    "needs pdflatex",
    "needs pytest -m cuda and an NVIDIA GPU",
    "needs PyTorch's build for CUDA, and no GPU",
    "root may write everywhere",
    "seen on the imaginary device",
    "there is no /dev/full",
    "there is no Chromium here",
    "torch asks the driver for its streams before it goes backwards",
)
"""Reasons that are facts of the machine, which no package changes."""


class NetworkBlockedError(OSError):
    """A test tried to leave the machine."""


def _is_local(family: int, address: object) -> bool:
    if family == getattr(socket, "AF_UNIX", None):
        return True
    if not isinstance(address, tuple) or not address:
        return False
    try:
        return ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        return address[0] == "localhost"


def pytest_configure(config):
    """Only ``pytest -m cuda`` shows GPUs: ``auto`` is the CPU in all other tests, and in the processes that they start.

    A process looks for GPUs once, so it is too late for this when a test begins.
    """
    if config.option.markexpr != "cuda":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request):
    """The CPU, where every line of a test is tried; under ``pytest -m cuda`` a GPU."""
    return request.param


def pytest_collection_modifyitems(items):
    """Tests marked cuda are skipped where no GPU is seen."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("cuda"):
                item.add_marker(pytest.mark.skip(reason="needs pytest -m cuda and an NVIDIA GPU"))


def _fail_if_skipped(report):
    """Turn a skip into a failure unless its reason is an allowed one."""
    reason = report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else ""
    if NO_OTHER_SKIPS and report.skipped and not hasattr(report, "wasxfail") and reason not in ALLOWED_SKIPS:
        report.outcome, report.longrepr = "failed", f"{report.nodeid}: may not be skipped here ({reason})"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol():
    """A test that hangs for half an hour ends its process, which fails it, with a traceback of every thread."""
    faulthandler.dump_traceback_later(1800, exit=True, file=sys.__stderr__)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    return _fail_if_skipped((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    return _fail_if_skipped((yield))


@pytest.fixture(autouse=True, scope="session")
def no_network():
    """Every connection that leaves the machine fails: what is tested works offline."""
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def guarded(original):
        def call(self, address):
            if not _is_local(self.family, address):
                raise NetworkBlockedError(f"blocked in tests: a connection to {address}")
            return original(self, address)

        return call

    def guarded_getaddrinfo(host, *arguments, **options):
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and not _is_local(socket.AF_INET, (name, 0)):
            raise NetworkBlockedError(f"blocked in tests: looking up {name}")
        return getaddrinfo(host, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded(connect))
        patch.setattr(socket.socket, "connect_ex", guarded(connect_ex))
        patch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)
        yield


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """Nothing is left in the user's cache, and nothing found there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch):
    """Output does not depend on the terminal the tests run in, nor on the SRBENCH_ variables of the user."""
    for name in [name for name in os.environ if name.startswith("SRBENCH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture
def heeded_interrupts():
    """Processes that the test starts heed Ctrl-C, which background jobs of a shell ignore, and their children too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def small_inception(monkeypatch):
    """A small network in place of Inception v3, which a process loads once."""
    from inception import Inception

    from srbench.metrics.fid import inception

    inception.cache_clear()
    monkeypatch.setattr("pyiqa.archs.fid_arch.InceptionV3", Inception)
    yield
    inception.cache_clear()


@pytest.fixture(scope="session")
def srbench(no_network):
    """The command line in this process, for fixtures of any scope: srbench("run", ...) returns exit code and output.

    An exception that the command line does not handle is raised.
    """
    from click.testing import CliRunner

    from srbench.cli.main import main

    def call(*arguments):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(warnings, "showwarning", warnings.showwarning)
            words = [str(argument) for argument in arguments]
            return CliRunner(catch_exceptions=False).invoke(main, words, prog_name="srbench")

    return call


@pytest.fixture(scope="session")
def bad(tmp_path_factory):
    """A folder of inputs that no command can use."""
    from bad_inputs import make_bad_inputs

    folder = tmp_path_factory.mktemp("bad")
    make_bad_inputs(folder)
    return folder


class HangsError(BaseException):
    """No Exception, and above all no OSError: those are caught on the way."""


@pytest.fixture
def no_hang():
    """A test that has not ended after five minutes, because it waits for a pipe, fails."""

    def late(*_):
        raise HangsError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _state(folder):
    """Kinds, links and contents of everything in a folder."""
    found = {}
    for path in Path(folder).rglob("*"):
        content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[path] = (path.lstat().st_mode, content)
    return found


@pytest.fixture
def refused(srbench, bad, tmp_path, monkeypatch, no_hang):
    """refused("run --data {bad}/x", "what it says"): the command ends with one line, an exit code, and nothing changed.

    ``kept`` are folders in tmp_path that stay as they are, as ``bad`` does. Returns what the command printed.
    """
    monkeypatch.chdir(tmp_path)

    def call(command, says, code=1, *, kept=()):
        words = [word.format(bad=bad, here=tmp_path) for word in shlex.split(command)]
        folders = [bad, *(tmp_path / name for name in kept)]
        before = [_state(folder) for folder in folders]
        found = srbench(*words)
        assert "Traceback" not in found.output
        last = ["", *found.stderr.splitlines()][-1]
        assert last.startswith("srbench: "), found.output
        where = found.stderr if last.endswith(", see above") else last
        assert re.search(says, where, re.MULTILINE), where
        assert found.exit_code == code, found.output
        assert [_state(folder) for folder in folders] == before, "something of the user's has changed"
        return found

    return call
