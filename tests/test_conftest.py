"""The guards of conftest.py hold."""

from __future__ import annotations

import socket

import pytest
import torch


def test_leaving_the_machine_fails():
    with pytest.raises(OSError, match="blocked in tests"), socket.socket() as leaving:
        leaving.connect(("192.0.2.1", 80))
    with pytest.raises(OSError, match="blocked in tests"):
        socket.create_connection(("example.org", 80), timeout=1)


def test_the_machine_itself_is_reached():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())
        assert client.getpeername() == server.getsockname()


def test_one_thread():
    assert torch.get_num_threads() == 1
