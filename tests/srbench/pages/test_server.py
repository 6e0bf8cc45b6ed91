"""The local server: faults on the terminal, closed tabs, closing."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import ExitStack

from builders import serving

from srbench.pages.server import LocalRequestHandler, LocalServer, PageRequestHandler


def test_a_closed_tab_leaves_no_traceback(capfd):
    """A reader that resets the connection before the answer, which is larger than any buffer."""

    class Large(PageRequestHandler):
        policy = "default-src 'self'"

        def do_GET(self):  # noqa: N802
            self.answer(lambda: self.send_content(bytes(50_000_000), "text/plain"))

    with serving(LocalServer(0, Large)) as server:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", server.server_port)) as reader:
                reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
                reader.sendall(f"GET / HTTP/1.0\r\nHost: 127.0.0.1:{server.server_port}\r\n\r\n".encode())
        time.sleep(0.5)
    assert "Traceback" not in capfd.readouterr().err


def test_broken_connections_are_not_reported_and_other_faults_are(capfd):
    with LocalServer(0, None) as server:
        for error in (BrokenPipeError(), ConnectionResetError(), ValueError("its own fault")):
            try:
                raise error
            except Exception:
                server.handle_error(None, ("127.0.0.1", 0))
    reported = capfd.readouterr().err
    assert "its own fault" in reported
    assert "BrokenPipe" not in reported


def test_a_server_that_closes_ends_silent_connections_and_waits_for_answers():
    asked, done = threading.Event(), []

    class Slow(LocalRequestHandler):
        timeout = None  # waits for a silent connection for ever

        def do_GET(self):  # noqa: N802
            asked.set()
            time.sleep(0.8)
            done.append(True)
            self.send_error(404)

    server = LocalServer(0, Slow)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    host = ("127.0.0.1", server.server_port)
    with socket.create_connection(host), socket.create_connection(host) as asks:
        asks.sendall(f"GET / HTTP/1.0\r\nHost: 127.0.0.1:{host[1]}\r\n\r\n".encode())
        assert asked.wait(20)
        server.shutdown()
        closing = threading.Thread(target=server.server_close, daemon=True)
        closing.start()
        closing.join(30)
        assert (closing.is_alive(), done) == (False, [True])
        assert b"404" in asks.recv(1000)
    assert server._connections == set()


def test_two_hundred_connections_at_once_are_all_answered():
    """All connect before the server accepts the first, as when a page with many images is opened."""

    class Short(PageRequestHandler):
        policy = "default-src 'self'"

        def do_GET(self):  # noqa: N802
            self.answer(lambda: self.send_content(b"seen", "text/plain"))

    server = LocalServer(0, Short)
    host = ("127.0.0.1", server.server_port)
    with ExitStack() as stack:
        readers = [stack.enter_context(socket.create_connection(host, timeout=5)) for _ in range(200)]
        stack.enter_context(serving(server))
        for reader in readers:
            reader.sendall(f"GET / HTTP/1.0\r\nHost: {host[0]}:{host[1]}\r\n\r\n".encode())
        answers = [reader.makefile("rb").read() for reader in readers]
    assert [answer[-4:] for answer in answers] == [b"seen"] * 200
