"""What goes off when it is unpickled goes off in engines and clients, never in the controller."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernelfleet import CompositeError, InvalidProperty
from tests.journeys.daemons import OwnFleet

#: A daemon in which whatever unpickles leaves a mark, and which tells at its end what it loaded.
TRAPPED = """
import json, os, sys
import pickle, marshal

def trap(*args, **kwargs):
    open(os.environ["BOMBS"] + "/controller-unpickled", "w").close()
    raise AssertionError("the controller unpickles")

pickle.load = pickle.loads = pickle.Unpickler = pickle._Unpickler = trap
import _pickle
_pickle.load = _pickle.loads = _pickle.Unpickler = trap

from dataclasses import asdict
from kernelfleet.controller.daemon import run_daemon
from kernelfleet.controller.options import FleetOptions
options = FleetOptions.of(**json.loads(sys.argv[1]))
run_daemon(options, lambda fleet: print(json.dumps(asdict(fleet)), flush=True))
loaded = {"cloudpickle", "dill", "numpy", "kernelfleet.wire.objects.serialize",
          "kernelfleet.errors.composite",
          "kernelfleet.wire.objects.exceptions", "kernelfleet.client"} & set(sys.modules)
with open(os.environ["BOMBS"] + "/controller-loaded", "w") as file:
    file.write(" ".join(sorted(loaded)))
"""


class TrappedFleet(OwnFleet):
    """Its controller may unpickle nothing."""

    daemon = TRAPPED


class Bomb:
    """Unpickled, it leaves a file that names the process and the thread."""

    def __init__(self, folder: Path) -> None:
        source = (
            "import os, pathlib, threading\n"
            "name = f'{os.getpid()} {threading.current_thread().name}'\n"
            f"pathlib.Path({str(folder)!r}, name).touch()\n"
        )
        self.code = f"exec({source!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (self.code,)


@pytest.fixture
def bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOMBS", str(tmp_path))
    folder = tmp_path / "bombs"
    folder.mkdir()
    return folder


def went_off(folder: Path) -> set[tuple[int, str]]:
    """Where it has: processes and threads; and forget it."""
    found = set()
    for path in folder.iterdir():
        pid, _, thread = path.name.partition(" ")
        found.add((int(pid), thread))
        path.unlink()
    return found


@pytest.mark.parametrize("transport", ["embedded", "unix"], indirect=True)
def test_a_pickle_bomb_goes_off_in_engines_and_clients_only(bombs: Path, transport: str) -> None:
    kind = OwnFleet if transport == "embedded" else TrappedFleet
    own = kind(transport, n=2)
    try:
        mec, bomb = own.client(), Bomb(bombs)
        engines = {each.pid for each in mec.engines()}
        here = os.getpid()

        def where(action: Callable[[], object]) -> set[int]:
            action()
            places = went_off(bombs)
            for pid, thread in places:
                assert pid in engines or (pid == here and thread != "kernelfleet")
            return {pid for pid, _ in places}

        assert where(lambda: mec.push({"b": bomb}, timeout=20)) == engines
        assert where(lambda: mec.scatter("b", [bomb, bomb], timeout=20)) == engines
        assert where(lambda: mec.apply(id, bomb, timeout=20)) == engines
        assert where(lambda: mec.map(id, [bomb] * 8, timeout=20)) <= engines
        with mec.executor() as pool:
            assert where(lambda: pool.submit(id, bomb).result(20)) <= engines
        # A bomb that an engine sends back goes off here: in results, errors and what is kept.
        define = (
            "class Bomb:\n    def __reduce__(self):\n"
            f"        return eval, ({bomb.code!r},)\n"
            "class BombError(Exception):\n    pass\n"
            "b, bs = Bomb(), [Bomb()]"
        )
        assert where(lambda: mec.execute(define, timeout=20)) == set()
        assert where(lambda: mec.pull("b", timeout=20)) == {here}
        assert where(lambda: mec.gather("bs", timeout=20)) == {here}
        assert where(lambda: mec.execute("b", timeout=20)[0].value) == {here}
        assert where(lambda: mec.get_result(2)[0].value) == {here}
        pending = mec.pull("b", block=False)
        assert where(lambda: pending.result(20)) == {here}
        other = own.client()
        assert where(lambda: other.pending_result(pending.result_id).result(20)) == {here}

        def fails() -> None:
            with pytest.raises(CompositeError):
                mec.execute("raise BombError(b)", timeout=20)

        assert where(fails) <= {here}

        def labels() -> None:
            with pytest.raises(InvalidProperty):
                mec.set_properties({"bomb": bomb})

        assert where(labels) == set()
    finally:
        own.clean_up()
    marks = {path.name for path in bombs.parent.iterdir()} - {"bombs"}
    if transport == "unix":
        assert marks == {"controller-loaded"}
        assert (bombs.parent / "controller-loaded").read_text() == ""
