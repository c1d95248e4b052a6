"""beginning.py: a node reads what it is to be, and has its fork server started."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from kernelfleet.node import beginning
from kernelfleet.node.beginning import begin, read_line
from kernelfleet.provisioners.kinds import Kind, kind_of
from kernelfleet.provisioners.servers import servers
from kernelfleet.wire.platforms import HERE


def test_one_line_is_read_and_nothing_behind_it() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"first\nsecond\n")
    assert read_line(reader) == b"first\n"
    assert os.read(reader, 100) == b"second\n"
    os.close(writer)
    with pytest.raises(SystemExit, match="is started by the head of a fleet"):
        read_line(reader)
    os.close(reader)


@pytest.mark.parametrize(
    ("fields", "starts"),
    [
        ({}, HERE.fork_server),
        ({"fork": False}, False),
        ({"mpi": True}, False),
        ({"preload": ["numpy"]}, False),
    ],
)
def test_the_fork_server_is_started_where_engines_are_forked_from_it(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], starts: bool
) -> None:
    spec = {"fork": True, "mpi": False, "preload": [], **fields}
    started: list[Kind] = []
    monkeypatch.setattr(beginning, "read_line", lambda _: json.dumps(spec).encode())
    monkeypatch.setattr(servers, "warm_up", started.append)
    assert begin() == spec
    assert started == [kind_of((), os.environ)] * starts
