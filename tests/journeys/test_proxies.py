"""proxies.py: what a test tells the proxy happens on the wire."""

from __future__ import annotations

import contextlib
import socket

import pytest

from tests.journeys.proxies import Proxy


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_cut_ends_both_halves_of_a_connection_that_is_idle(reset: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(listener.getsockname()[1])
        with socket.create_connection(("127.0.0.1", proxy.port)) as near:
            far, _ = listener.accept()
            near.sendall(b"there")
            assert far.recv(5) == b"there"
            proxy.cut(reset=reset)
            for each in (near, far):
                each.settimeout(10)
                with pytest.raises(ConnectionResetError) if reset else contextlib.nullcontext():
                    assert each.recv(1) == b""
            far.close()
        proxy.close()
