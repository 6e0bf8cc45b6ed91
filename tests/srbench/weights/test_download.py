"""Servers that send anything but the file: one line, and nothing is kept."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from builders import serving

import srbench.weights.download

ANSWERS = {
    "loop": (b"HTTP/1.0 302 Found\r\nLocation: /loop\r\n\r\n", r"answered 302 .*redirect error"),
    "out": (b"HTTP/1.0 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", r"answered 302 .*file:///etc/passwd"),
    "nowhere": (b"HTTP/1.0 302 Found\r\nLocation: http://[\r\n\r\n", r"failed \("),
    "fault": (b"HTTP/1.0 500 all\x1b[31m is well\r\n\r\n", r"answered 500"),
    "negative": (b"HTTP/1.0 200 OK\r\nContent-Length: -5\r\n\r\nfive!", r"announced -5 bytes|failed \("),
    "large": (b"HTTP/1.0 200 OK\r\nContent-Length: 99999999999999\r\n\r\n", r"announced 9{14} bytes; at most"),
    "endless": (b"HTTP/1.0 200 OK\r\n\r\n" + bytes(5000), r"sent more than the limit of 4096 bytes"),
    "header": (b"HTTP/1.0 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", r"failed \("),
}


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.wfile.write(ANSWERS[self.path.strip("/")][0])

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def port():
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Answers)) as server:
        yield server.server_port


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_is_no_weights_file(refused, port, tmp_path, monkeypatch, name):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if name == "endless":
        monkeypatch.setattr(srbench.weights.download, "MAX_BYTES", 4096)
    refused(f"weights add srflow-df2k-x4 http://127.0.0.1:{port}/{name}", ANSWERS[name][1])
    kept = [path.name for path in (tmp_path / "srbench").rglob("*") if path.is_file()]
    assert not [file for file in kept if file.endswith((".safetensors", ".pth"))]
