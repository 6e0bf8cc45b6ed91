"""The released weights, against a server on loopback: resume, second address, hashes, archives, and no network."""

import errno
import hashlib
import os
import shutil
import threading
import zipfile
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from builders import serving
from small_presets import resized

from baselines.convert import rrdb_shapes
from baselines.rrdb import RRDBConfig
from srbench.files.paths import cache_folder
from srbench.models.loading import load_model
from srbench.weights import table as weights_table
from srbench.weights.download import DownloadError, OfflineError, download
from srbench.weights.files import WeightsError, load_weights
from srbench.weights.official import add, fetch
from srbench.weights.table import cached_path, find_released, released_weights

FILE = "RRDB_TINY.pth"


class Server:
    """Answers with the bytes of ``files``, of a version if ``version`` is a header; notes every request as (path,
    Range).

    ``meanwhile`` is called before the first answer.
    """

    def __init__(self):
        self.files, self.requests = {}, []
        self.ranges, self.cut, self.kind = True, None, "application/octet-stream"
        self.version, self.meanwhile = None, None
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                served.answer(self)

            def log_message(self, *arguments):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, handler):
        asked = handler.headers.get("Range")
        self.requests.append((handler.path, asked))
        if self.meanwhile is not None and len(self.requests) == 1:
            self.meanwhile()
        if self.version is not None and handler.headers.get("If-Range", self.version[1]) != self.version[1]:
            asked = None
        if handler.path not in self.files:
            handler.send_error(404)
            return
        body = self.files[handler.path]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.ranges else 0
        if start >= len(body) and start:
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(body)}")
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if self.version is not None:
            handler.send_header(*self.version)
        handler.send_header("Content-Type", self.kind)
        handler.send_header("Content-Length", str(len(body) - start))
        handler.end_headers()
        handler.wfile.write(body[start : start + self.cut] if self.cut else body[start:])


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    running = Server()
    with serving(running.http):
        yield running


@pytest.fixture
def checkpoint():
    torch.manual_seed(0)
    buffer = BytesIO()
    torch.save({name: torch.randn(shape) for name, shape in rrdb_shapes(RRDBConfig(4, 8, 4, 1)).items()}, buffer)
    return buffer.getvalue()


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Writes the table: one entry ``rrdb-tiny`` with these addresses and this sha256."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    preset = tmp_path / "tiny.toml"
    preset.write_text(resized("baselines", "rrdb/df2k-x4", features=8, growth=4, blocks=1))

    def write(*addresses, sha256=None):
        lines = [f'model = "rrdb"\npreset = "{preset}"\nfile = "{FILE}"\naddresses = {list(addresses)}']
        lines += [] if sha256 is None else [f'sha256 = "{sha256}"']
        path = tmp_path / "table.toml"
        path.write_text("\n".join(["[rrdb-tiny]", *lines, 'licence = "CC-BY-NC-SA-4.0"', 'trained_on = "noise"']))
        monkeypatch.setattr(weights_table, "_TABLE", path)

    return write


def archive(**members):
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return buffer.getvalue()


def leftovers():
    return [path.name for path in cache_folder("weights").iterdir() if path.suffix not in (".safetensors", ".lock")]


def test_the_table():
    table = released_weights()
    assert len({(entry.model, entry.preset) for entry in table.values()}) == len(table)
    for name, entry in table.items():
        assert name.startswith(entry.model)
        assert all(address.startswith(("http://", "https://")) for address in entry.addresses)
        assert entry.sha256 is None or len(bytes.fromhex(entry.sha256)) == 32
        if "SRFlow" in entry.trained_on:
            assert entry.licence == "CC-BY-NC-SA-4.0"
            assert entry.addresses[0] == "http://data.vision.ee.ethz.ch/alugmayr/SRFlow/pretrained_models.zip"
    with pytest.raises(WeightsError, match="unknown weights 'srflow-celeb-x8'; did you mean srflow-celeba-x8"):
        find_released("srflow-celeb-x8")


def test_fetch_and_use(server, table, checkpoint, capsys):
    digest = hashlib.sha256(checkpoint).hexdigest()
    server.files["/net.pth"] = checkpoint
    table(f"{server.address}/net.pth")
    with pytest.raises(WeightsError, match="rrdb-tiny: not downloaded yet; run srbench weights fetch rrdb-tiny"):
        load_model("rrdb:rrdb-tiny", 4, "cpu")
    path = fetch("rrdb-tiny")
    assert path == cached_path("rrdb-tiny")
    assert f"sha256 {digest} is unconfirmed" in capsys.readouterr().err
    metadata = load_weights(path)[1]
    source = f"downloaded from {server.address}/net.pth, its sha256 unconfirmed"
    assert (metadata["licence"], metadata["trained_on"]) == ("CC-BY-NC-SA-4.0", f"noise; {source}")
    assert metadata["converted_from_sha256"] == digest
    loaded = load_model("rrdb:rrdb-tiny", 4, "cpu")
    assert (loaded.label, loaded.weights.licence) == ("rrdb-tiny", "CC-BY-NC-SA-4.0")
    assert leftovers() == []
    fetch("rrdb-tiny")
    assert fetch("rrdb-tiny", digest.upper()) == path
    assert len(server.requests) == 1, "what is here is not fetched again"
    with pytest.raises(WeightsError, match=f"has sha256 {digest} instead of {'0' * 64}"):
        fetch("rrdb-tiny", "0" * 64)


def test_the_second_address_where_the_first_is_gone(server, table, checkpoint):
    server.files["/mirror"] = checkpoint
    table(f"{server.address}/gone.zip", f"{server.address}/mirror", sha256=hashlib.sha256(checkpoint).hexdigest())
    assert load_weights(fetch("rrdb-tiny"))[1]["trained_on"] == "noise", "its sha256 says that it is the authors'"
    assert [path for path, _ in server.requests] == ["/gone.zip", "/mirror"]


def test_all_that_was_tried_in_one_line(server, table):
    server.files["/page"] = b"<html>sign in</html>"
    server.kind = "text/html; charset=utf-8"
    table(f"{server.address}/gone.zip", f"{server.address}/page", "http://127.0.0.1:1/closed", "ftp://127.0.0.1/x")
    with pytest.raises(WeightsError) as caught:
        fetch("rrdb-tiny")
    text = str(caught.value)
    assert "\n" not in text
    for part in (
        "rrdb-tiny could not be fetched: ",
        "/gone.zip answered 404 Not Found; ",
        "/page answered with a web page, not a file; ",
        "/closed failed (",
        "ftp://127.0.0.1/x is not a URL",
        "if you have the file: srbench weights add rrdb-tiny FILE",
    ):
        assert part in text
    table()
    with pytest.raises(WeightsError, match="no address is known"):
        fetch("rrdb-tiny")


def test_a_partial_download_is_resumed(server, table, checkpoint):
    server.files["/net.pth"] = checkpoint
    server.cut = len(checkpoint) // 3
    table(f"{server.address}/net.pth")
    assert fetch("rrdb-tiny").is_file()
    third = len(checkpoint) // 3
    assert [asked for _, asked in server.requests][:3] == [None, f"bytes={third}-", f"bytes={2 * third}-"]


def test_a_broken_connection_keeps_what_came(server, tmp_path, checkpoint, monkeypatch):
    server.files["/net.pth"] = checkpoint
    file = tmp_path / "folder" / "file"
    part = file.with_name(".file.part")
    seen = []
    bar = nullcontext(Mock(update=lambda task, *, completed, total: seen.append((completed, total))))
    monkeypatch.setattr("srbench.weights.download.transfer", lambda: bar)
    server.cut = 100
    server.ranges = False  # every connection begins anew and brings nothing more
    with pytest.raises(
        DownloadError, match=f"broke off after 100 of {len(checkpoint)} bytes; rerun the same command to resume"
    ):
        download(f"{server.address}/net.pth", file, "net")
    assert part.read_bytes() == checkpoint[:100]
    assert not file.exists()
    server.cut, server.ranges = None, True
    download(f"{server.address}/net.pth", file, "net")
    assert file.read_bytes() == checkpoint
    assert server.requests[-1] == ("/net.pth", "bytes=100-")
    assert seen[0] == (0, len(checkpoint))
    assert seen[-1] == (len(checkpoint), len(checkpoint))
    asked = len(server.requests)
    download(f"{server.address}/net.pth", file, "net")
    assert len(server.requests) == asked, "a complete file is not asked for again"
    for content in (checkpoint, checkpoint + b"longer than the file is now"):
        file.unlink()
        part.write_bytes(content)
        download(f"{server.address}/net.pth", file, "net")
        assert file.read_bytes() == checkpoint
    assert [path.name for path in file.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
def test_a_file_that_changes_between_two_attempts_is_not_mixed(server, tmp_path, checkpoint, header):
    address, file = f"{server.address}/net.pth", tmp_path / "file"
    server.files["/net.pth"], server.version = checkpoint, (header, "first")
    server.cut, server.ranges = 100, False
    with pytest.raises(DownloadError, match="broke off"):
        download(address, file, "net")
    server.files["/net.pth"], server.version = checkpoint[::-1], (header, "second")
    server.cut, server.ranges = None, True
    download(address, file, "net")
    assert file.read_bytes() == checkpoint[::-1]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.filterwarnings("ignore:.*another process is downloading")
def test_two_commands_at_once_download_once(server, table, checkpoint):
    server.files["/net.pth"] = checkpoint
    table(f"{server.address}/net.pth")
    found = []
    second = threading.Thread(target=lambda: found.append(fetch("rrdb-tiny")))

    def begin_the_second():
        second.start()
        second.join(0.5)  # it waits for the first; if it did not, it would be done

    server.meanwhile = begin_the_second
    found.append(fetch("rrdb-tiny"))
    second.join()
    assert found == 2 * [cached_path("rrdb-tiny")]
    assert len(server.requests) == 1


def test_an_archive_that_a_full_disk_cannot_hold_is_kept(server, table, checkpoint, monkeypatch):
    server.files["/models.zip"] = archive(**{FILE: checkpoint})
    table(f"{server.address}/models.zip")

    def fill_the_disk(source, file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", fill_the_disk)
        with pytest.raises(OSError, match="No space left") as caught:
            fetch("rrdb-tiny")
    assert caught.value.filename == str(cached_path("rrdb-tiny"))
    assert fetch("rrdb-tiny") == cached_path("rrdb-tiny")
    assert len(server.requests) == 1
    assert leftovers() == []


def test_a_disk_without_write_access_is_named_by_the_weights(server, table, checkpoint, monkeypatch):
    server.files["/net.pth"] = checkpoint
    table(f"{server.address}/net.pth")

    def refuse(path, mode="r", *more, **others):
        if mode in ("ab", "wb"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return opened(path, mode, *more, **others)

    opened = Path.open
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(OSError, match="Read-only file system") as caught:
        fetch("rrdb-tiny")
    assert caught.value.filename == str(cached_path("rrdb-tiny"))


def test_a_wrong_hash(server, table, checkpoint, tmp_path):
    digest = hashlib.sha256(checkpoint).hexdigest()
    server.files["/net.pth"] = checkpoint
    table(f"{server.address}/net.pth", sha256="0" * 64)
    with pytest.raises(WeightsError, match=f"net.pth has sha256 {digest} instead of {'0' * 64}; get another copy"):
        fetch("rrdb-tiny")
    assert not cached_path("rrdb-tiny").exists()
    assert leftovers() == []
    fetch("rrdb-tiny", digest.upper())
    assert load_weights(cached_path("rrdb-tiny"))[1]["licence"] == "unknown", "not the file of the table"


def test_only_the_named_member_is_unpacked(server, table, checkpoint, tmp_path):
    hostile = {"../../escaped": b"x", "other.pth": b"y", f"../{FILE}": checkpoint}
    server.files["/models.zip"] = archive(**hostile)
    table(f"{server.address}/models.zip", sha256=hashlib.sha256(checkpoint).hexdigest())
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    path = fetch("rrdb-tiny")
    assert {path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"} - before == {path}


def test_an_archive_without_the_member_or_damaged(table, checkpoint, tmp_path):
    table()
    path = tmp_path / "models.zip"
    path.write_bytes(archive(other=checkpoint))
    with pytest.raises(WeightsError, match=r"models\.zip could not be converted: .*not a checkpoint"):
        add("rrdb-tiny", str(path))
    packed = bytearray(archive(**{FILE: checkpoint}))
    packed[200:300] = bytes(100)
    path.write_bytes(packed)
    with pytest.raises(WeightsError, match=r"models\.zip is a damaged archive"):
        add("rrdb-tiny", str(path))


def test_add_a_file_or_an_address(server, table, checkpoint, tmp_path):
    table()
    path = tmp_path / "mine.pth"
    path.write_bytes(checkpoint)
    add("rrdb-tiny", str(path))
    assert path.read_bytes() == checkpoint
    first = cached_path("rrdb-tiny").read_bytes()
    metadata = load_weights(cached_path("rrdb-tiny"))[1]
    assert metadata["licence"] == "unknown", "no file of which only the name is known"
    assert metadata["trained_on"] == "unknown (not known to be a released file)"
    cached_path("rrdb-tiny").unlink()
    server.files["/models.zip"] = archive(**{f"pretrained_models/{FILE}": checkpoint})
    add("rrdb-tiny", f"{server.address}/models.zip")
    assert cached_path("rrdb-tiny").read_bytes() == first
    path.write_bytes(checkpoint[:-50])
    with pytest.raises(
        WeightsError, match=r"mine\.pth could not be converted: .*truncated, or not a checkpoint"
    ) as caught:
        add("rrdb-tiny", str(path))
    assert "\n" not in str(caught.value)
    assert cached_path("rrdb-tiny").read_bytes() == first, "what was there stays"


def test_no_network_where_it_is_forbidden(server, table, checkpoint, monkeypatch, tmp_path):
    server.files["/net.pth"] = checkpoint
    table(f"{server.address}/net.pth")
    monkeypatch.setenv("SRBENCH_OFFLINE", "1")
    for call in (lambda: fetch("rrdb-tiny"), lambda: add("rrdb-tiny", f"{server.address}/net.pth")):
        with pytest.raises(
            OfflineError, match=r"^SRBENCH_OFFLINE is set, so http://.*net\.pth is not downloaded; unset it"
        ):
            call()
    assert server.requests == []
    (tmp_path / "mine.pth").write_bytes(checkpoint)
    assert add("rrdb-tiny", str(tmp_path / "mine.pth")).is_file()
    assert fetch("rrdb-tiny").is_file(), "what is here needs no network"
