"""What a fleet uses on which system: a pure decision."""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path

import pytest

from kernelfleet.wire import platforms
from kernelfleet.wire.platforms import (
    HERE,
    OFFERS,
    Platform,
    container_limit,
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
    packets=True,
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
        ("linux", UNIX | {"pidfd_open"}, Platform(True, True, False, True, True, 107, True)),
        ("linux", UNIX | {"memfd_create"}, Platform(False, True, True, False, True, 107, True)),
        ("linux", UNIX, Platform(False, True, False, False, True, 107, True)),
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


def limit_in(tmp_path: Path, own: str, **files: str) -> float | None:
    """The limit of a process whose /proc/self/cgroup has this text; None if there is none."""
    for name, text in files.items():
        path = tmp_path / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "own").write_text(own)
    return container_limit(tmp_path, tmp_path / "own")


def test_the_limit_of_a_container_is_that_of_the_smallest_group(tmp_path: Path) -> None:
    assert limit_in(tmp_path, "0::/\n", cpu_dot_max="150000 100000\n") == 1.5
    own = "0::/a/b\n"
    assert limit_in(tmp_path, own, a__cpu_dot_max="400000 100000", a__b__cpu_dot_max="max 1") == 1.5
    assert limit_in(tmp_path, own, a__b__cpu_dot_max="100000 100000") == 1.0


def test_the_older_control_groups_are_read_as_well(tmp_path: Path) -> None:
    own = "4:memory:/x\n2:cpu,cpuacct:/box\n"
    files = {
        "cpu__box__cpu_dot_cfs_quota_us": "200000",
        "cpu__box__cpu_dot_cfs_period_us": "100000",
    }
    assert limit_in(tmp_path, own, **files) == 2.0
    files = {"cpu__box__cpu_dot_cfs_quota_us": "-1"}
    assert limit_in(tmp_path, own, **files) is None


@pytest.mark.parametrize("own", ["", "nonsense\n", "0::/\n", "3:cpuset:/\n"])
def test_without_a_limit_there_is_none(tmp_path: Path, own: str) -> None:
    assert limit_in(tmp_path, own) is None
    assert container_limit(tmp_path, tmp_path / "not-there") is None


def test_engines_are_no_more_than_the_container_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    for limit, cores in ((None, 64), (1.5, 2), (0.2, 1), (100.0, 64)):
        monkeypatch.setattr(platforms, "container_limit", lambda limit=limit: limit)
        assert number_of_cores() == cores
