"""A console that is attached to a kernel, as ``jupyter console --existing`` does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jupyter_client.blocking.client import BlockingKernelClient


@contextmanager
def attached(connection_file: str | Path) -> Iterator[BlockingKernelClient]:
    """Attach to the kernel of a connection file, until the block ends."""
    client = BlockingKernelClient(connection_file=str(connection_file))
    client.load_connection_file()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=20)
        yield client
    finally:
        client.stop_channels()
        client.context.term()
