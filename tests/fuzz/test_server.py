"""Requests to the server of srbench explore that no browser would send: each is answered or dropped, none stops it."""

from __future__ import annotations

import json
import socket

import pytest
from builders import drawn, serving
from explore_page import Editor

from srbench.editing.explore import Explorer, open_explorer
from srbench.images.io import write_png

hypothesis = pytest.importorskip("hypothesis")
given, st = hypothesis.given, hypothesis.strategies


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Port, folder of what is saved, and the name of the image that is open."""
    folder = tmp_path_factory.mktemp("site")
    write_png(folder / "a.png", drawn(1, 16, 16))
    explorer = Explorer(Editor(), folder / "saved")
    with serving(open_explorer(explorer, folder / "a.png", 0)) as server:
        yield server.server_port, folder, explorer.photograph.id


def answered(port, request, *, whole=True):
    """The first line of the answer to some bytes; empty where the connection was closed without one."""
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        connection.sendall(request)
        if not whole:
            return ""
        connection.shutdown(socket.SHUT_WR)
        found = b""
        while part := connection.recv(65536):
            found += part
    return found.partition(b"\r\n")[0].decode(errors="replace")


LINES = st.sampled_from(
    [
        "GET / HTTP/1.1",
        "POST /make HTTP/1.1",
        "POST /save HTTP/1.0",
        "POST /open HTTP/1.1",
        "GET /hr.png?image=1 HTTP/1.1",
        "GET /overview.jpg?image=1 HTTP/1.1",
        "GET /lr.png?image=ID&part=0,0,8,8 HTTP/1.0",
        "GET /hr.png?image=ID&part=-1,99999999999999999999,8, HTTP/1.1",
        "GET /../../etc/passwd HTTP/1.0",
        "GET http://[ HTTP/1.1",
        "DELETE / HTTP/1.1",
        "GET",
        "",
        "GET / HTTP/9.9",
    ]
) | st.text(max_size=20)
HEADERS = st.dictionaries(
    st.sampled_from(["X-Srbench", "Content-Length", "Transfer-Encoding", "Origin", "Expect", "Connection"]),
    st.sampled_from(["a.png", "-1", "0", "9" * 30, "chunked", "null", "%00", "a%0Ab.png", "..%2F..", "100-continue"])
    | st.text(max_size=9),
)
WISHES = st.fixed_dictionaries(
    {
        "image": st.just("ID") | st.text(max_size=3),
        "part": st.lists(st.integers(-1, 16), max_size=5) | st.just([0, 4, 8, 12]) | st.none(),
        "temperature": st.floats() | st.just(0.5) | st.text(max_size=2),
    },
    optional={
        "seed": st.integers() | st.just(3),
        "kind": st.sampled_from(["sample", "spread", "x"]),
        "name": st.just("../x"),
    },
)


@pytest.mark.slow
@given(
    line=LINES,
    headers=HEADERS,
    whole=st.sampled_from([True, True, True, False]),
    host=st.booleans(),
    body=st.binary(max_size=30) | WISHES.map(json.dumps).map(str.encode) | st.just(b"[" * 50_000),
)
def test_requests(site, capfd, line, headers, whole, host, body):
    port, folder, image = site
    body = body.replace(b"ID", image.encode())
    lines = [line.replace("ID", image), *([f"Host: 127.0.0.1:{port}"] if host else [])]
    lines += [f"{name}: {value}" for name, value in {"Content-Length": len(body), **headers}.items()]
    request = "\r\n".join([*lines, "", ""]).encode(errors="replace") + body
    try:
        answer = answered(port, request, whole=whole)
    except OSError:  # closed before all was sent
        answer = ""
    assert " 500 " not in answer
    assert "200" in answered(port, f"GET /first HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    assert capfd.readouterr() == ("", ""), "the terminal belongs to its user"
    assert {path.name for path in folder.iterdir()} <= {"a.png", "saved"}
    assert {path.suffix for path in folder.glob("saved/**/*")} <= {".png"}
