"""What a fleet uses on which system: a pure decision."""

from __future__ import annotations

import errno
import os
import signal
import sys

import pytest

from kernelfleet.wire.platforms import (
    HERE,
    OFFERS,
    Platform,
    number_of_cores,
    offers,
    platform_of,
)

UNIX = {"fork", "killpg"}

LINUX = Platform(
    fork_server=True,
    unix_sockets=True,
    shared_memory=True,
    pidfds=True,
    process_groups=True,
    max_socket_path_bytes=107,
)
MACOS = Platform(
    fork_server=False,
    unix_sockets=True,
    shared_memory=False,
    pidfds=False,
    process_groups=True,
    max_socket_path_bytes=103,
)
WINDOWS = Platform(
    fork_server=False,
    unix_sockets=False,
    shared_memory=False,
    pidfds=False,
    process_groups=False,
    max_socket_path_bytes=103,
)


@pytest.mark.parametrize(
    ("name", "there", "expected"),
    [
        ("linux", set(OFFERS), LINUX),
        ("darwin", UNIX, MACOS),
        ("freebsd14", UNIX | {"memfd_create"}, MACOS),
        ("win32", set(), WINDOWS),
        # a Linux or a Python built for one that lacks something
        ("linux", UNIX | {"pidfd_open"}, Platform(True, True, False, True, True, 107)),
        ("linux", UNIX | {"memfd_create"}, Platform(False, True, True, False, True, 107)),
        ("linux", UNIX, Platform(False, True, False, False, True, 107)),
    ],
)
def test_a_platform_gets_what_it_can_do(name: str, there: set[str], expected: Platform) -> None:
    assert platform_of(name, there) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="says what Linux offers")
def test_this_linux_has_it_all() -> None:
    assert HERE == LINUX


@pytest.mark.skipif(sys.platform != "linux", reason="refuses what Linux offers")
@pytest.mark.parametrize("refused", ["pidfd_open", "pidfd_send_signal"])
def test_a_call_that_a_sandbox_refuses_is_not_offered(
    refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os if hasattr(os, refused) else signal, refused, refuse)
    assert offers() == set(OFFERS) - {"pidfd_open"}


def test_there_is_at_least_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    assert number_of_cores() >= 1
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert number_of_cores() == 1
