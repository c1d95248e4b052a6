"""serving.py: a node is told what to be, says where it listens, and ends when it is to."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from kernelfleet.node.serving import address_of_starter, base_environment
from kernelfleet.wire.fields import has_fields
from kernelfleet.wire.messages.nodes import EndOfNode, NodeReport, NodeSpec


def spec(**fields: Any) -> dict[str, Any]:
    return {
        "name": "n", "host": "127.0.0.1", "client_key": zmq.curve_keypair()[0].decode(),
        "embedded": True, "cwd": None, "on_start": None, "fork": True, "preload": [],
        "insecure_kernel": False, "restart": "never", "limits": {}, "gpus": 0, "mpi": False,
        **fields,
    }  # fmt: skip


@pytest.fixture
def node() -> Iterator[subprocess.Popen[bytes]]:
    """The process of a node that waits for what it is to be."""
    command = [sys.executable, "-P", "-m", "kernelfleet.node"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        yield process
        process.kill()


def tell(process: subprocess.Popen[bytes], said: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(said).encode() + b"\n")
    process.stdin.flush()


def heard(process: subprocess.Popen[bytes]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def test_it_says_where_it_listens_outlives_its_starter_and_ends_when_told(
    node: subprocess.Popen[bytes],
) -> None:
    told = spec()
    assert has_fields(NodeSpec, told)
    tell(node, told)
    report = heard(node)
    assert has_fields(NodeReport, report)
    assert report["pid"] == node.pid
    assert report["url"].startswith("tcp://127.0.0.1:")
    assert "secret" not in json.dumps(report)
    end = {"end": "it is retired"}
    assert has_fields(EndOfNode, end)
    tell(node, end)
    assert node.wait(timeout=20) == 0
    assert node.stderr is not None
    assert b"this node ends: it is retired" in node.stderr.read()


def test_the_end_of_its_starter_is_not_its_own(node: subprocess.Popen[bytes]) -> None:
    tell(node, spec())
    heard(node)
    assert node.stdin is not None
    node.stdin.close()
    with pytest.raises(subprocess.TimeoutExpired):
        node.wait(timeout=0.5)
    node.terminate()
    assert node.wait(timeout=20) == 0


def test_why_it_cannot_be_is_said(node: subprocess.Popen[bytes]) -> None:
    tell(node, spec(host="192.0.2.1"))
    assert "cannot listen on 192.0.2.1" in heard(node)["error"]
    assert node.wait(timeout=20) == 1


def test_without_a_word_it_says_who_starts_it(node: subprocess.Popen[bytes]) -> None:
    assert node.stdin is not None
    node.stdin.close()
    assert node.wait(timeout=20) == 1
    assert node.stderr is not None
    assert b"started by the head of a fleet" in node.stderr.read()


def test_engines_inherit_neither_dasks_threads_nor_ranks() -> None:
    environment = {"OMP_NUM_THREADS": "1", "JPY_PARENT_PID": "5", "PMI_RANK": "0", "HOME": "/h"}
    assert base_environment(environment) == {"HOME": "/h"}


def test_it_listens_where_ssh_has_reached_it() -> None:
    assert address_of_starter({"SSH_CONNECTION": "10.0.0.9 5000 10.0.0.2 22"}) == "10.0.0.2"
    assert address_of_starter({}) == "0.0.0.0"
