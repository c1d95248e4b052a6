"""A peer without a key that makes whoever reads hold as much as it can. Run as a process.

    python hoard.py connect tcp PORT MECHANISM CONNECTIONS MIB
    python hoard.py connect unix PATH MECHANISM CONNECTIONS MIB
    python hoard.py impostor PORT CURVE CONNECTIONS MIB

Each connection sends ZMQ's greeting and then one command frame before any handshake, as large as
it is let, and holds it. Prints ``held BYTES`` when nothing more goes, and ends with its standard
input, or after a minute.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
import threading
import time

BLOCK = b"A" * 32_768


def greeting(mechanism: str, *, as_server: bool) -> bytes:
    name = mechanism.encode().ljust(20, b"\0")
    return b"\xff" + bytes(8) + b"\x7f\x03\x00" + name + bytes([as_server]) + bytes(31)


def hoard(peer: socket.socket, mechanism: str, size: int, *, as_server: bool) -> int:
    """Send a greeting and a frame of this size; how much of it the other side took."""
    taken = 0
    try:
        peer.settimeout(5)
        peer.sendall(greeting(mechanism, as_server=as_server))
        heard = b""
        while len(heard) < 64 and (more := peer.recv(64 - len(heard))):
            heard += more
        peer.sendall(b"\x06" + struct.pack(">Q", size))
        while taken < size - 1:  # the last byte never comes
            block = BLOCK[: size - 1 - taken]
            peer.sendall(block)
            taken += len(block)
    except OSError:  # it was cut, or nobody reads any more
        pass
    return taken


def connected(where: list[str]) -> socket.socket:
    if where[0] == "tcp":
        return socket.create_connection(("127.0.0.1", int(where[1])))
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(where[1])
    return peer


def visitors(port: int) -> socket.socket:
    """Take a port as soon as it is free, and listen there."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    for _ in range(2000):
        try:
            listener.bind(("127.0.0.1", port))
            break
        except OSError:
            time.sleep(0.005)
    listener.listen(100)
    print("listening", flush=True)
    return listener


def main(role: str, *arguments: str) -> None:
    *where, mechanism, count, mib = arguments
    size, taken = int(float(mib) * 2**20), [0] * int(count)
    peers: list[socket.socket] = []
    listener = visitors(int(where[0])) if role == "impostor" else None

    def one(index: int) -> None:
        try:
            peer = listener.accept()[0] if listener else connected(where)
        except OSError:
            return
        peers.append(peer)
        taken[index] = hoard(peer, mechanism, size, as_server=listener is not None)

    threads = [threading.Thread(target=one, args=(i,), daemon=True) for i in range(int(count))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    print("held", sum(taken), flush=True)
    select.select([sys.stdin], [], [], 60)


if __name__ == "__main__":
    main(*sys.argv[1:])
