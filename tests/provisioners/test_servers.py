"""servers.py: the fork server that is started in advance, and for whom it is."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from kernelfleet.provisioners import servers as module
from kernelfleet.provisioners.kinds import kind_of
from kernelfleet.provisioners.servers import Servers, warm_up_for
from kernelfleet.wire.process_tags import VARIABLE

ROOT = Path(__file__).resolve().parents[2]
PLAIN = kind_of((), os.environ)
OTHER = kind_of(("json",), os.environ)

#: Prints how many fork servers this process has.
COUNT = """
import psutil
children = [each.cmdline() for each in psutil.Process().children()]
print(sum("kernelfleet.provisioners.zygote" in each for each in children))
"""


@pytest.fixture
def servers() -> Iterator[Servers]:
    made = Servers()
    yield made
    for kind in list(made._servers):
        while kind in made._servers:
            made.release(kind)


def test_the_first_user_gets_the_one_that_was_started_in_advance(servers: Servers) -> None:
    servers.warm_up(PLAIN)
    warm = servers._servers[PLAIN]
    assert servers.take(PLAIN) is warm
    servers.release(PLAIN)
    assert servers._servers == {}
    assert not warm.alive


def test_it_ends_when_the_first_user_needs_another(servers: Servers) -> None:
    servers.warm_up(PLAIN)
    warm = servers._servers[PLAIN]
    servers.take(OTHER)
    assert list(servers._servers) == [OTHER]
    assert not warm.alive


def test_none_is_started_in_advance_where_there_is_one(servers: Servers) -> None:
    servers.take(OTHER)
    servers.warm_up(PLAIN)
    assert list(servers._servers) == [OTHER]
    servers.warm_up(OTHER)
    servers.release(OTHER)
    assert servers._servers == {}


@pytest.mark.parametrize(
    ("asker", "environment", "warm"),
    [
        ("__main__", {}, True),
        ("__mp_main__", {}, True),
        ("a.library", {}, False),
        ("__main__", {VARIABLE: "an engine's"}, False),
    ],
)
def test_it_is_for_a_programs_own_code_and_not_on_an_engine(
    asker: str,
    environment: dict[str, str],
    warm: bool,
    servers: Servers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "servers", servers)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    warm_up_for(asker)
    assert bool(servers._servers) == warm


def run(code: str, folder: Path) -> list[str]:
    script = folder / "script.py"
    script.write_text(textwrap.dedent(code))
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, script], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("from kernelfleet import Fleet", 1),
        ("import kernelfleet\nkernelfleet.Fleet", 1),
        ("from kernelfleet import MultiEngineClient", 0),
        ("import kernelfleet", 0),
        ("import library", 0),
    ],
)
def test_a_program_that_asks_for_fleet_has_one_until_it_ends(
    code: str, count: int, tmp_path: Path
) -> None:
    (tmp_path / "library.py").write_text("from kernelfleet import Fleet\n")
    assert run(code + COUNT, tmp_path) == [str(count)]
    left = [each for each in psutil.process_iter() if str(tmp_path) in " ".join(_words(each))]
    assert left == []


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_workers_that_import_the_program_again_have_none(tmp_path: Path) -> None:
    code = f"""
    import multiprocessing
    from kernelfleet import Fleet

    def count(): exec({COUNT!r}, {{}})

    if __name__ == "__main__":
        count()
        worker = multiprocessing.get_context("spawn").Process(target=count)
        worker.start(); worker.join()
    """
    assert run(code, tmp_path) == ["1", "0"]
