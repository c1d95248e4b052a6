"""What every process of a fleet holds at a moment: memory, descriptors, threads, objects, files.

Each process is looked at from outside. All but the fork server, which takes no data, also look at
themselves, after a garbage collection and ``malloc_trim``: what the C library keeps for later is
not growth. It may be some megabytes from one moment to the next: after a large message has gone
its way, the end of the heap is given back only when it has become larger than two such messages.

A daemon and a node look when they get SIGUSR1, which what starts them here (not the product) sees
to.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import json
import os
import re
import signal
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.wire.files import fleet_paths
from kernelfleet.wire.messages import JsonDict
from tests.fleets import eventually
from tests.journeys.daemons import OwnFleet
from tests.nodes import node_processes

#: More results than a controller keeps of what nobody holds.
KEPT = 1001
#: Threads of the client that end by themselves when their work is done.
PASSING_THREADS = ("kernelfleet-map", "kernelfleet-executor", "kernelfleet-stop")

#: The process that is only looked at from outside.
FORK_SERVER = "fork server"
#: What a block of shared memory is called among the descriptors.
BLOCK = "block"
#: About what a small object takes that Python itself allocates.
SMALL_BYTES = 64


def look_inside() -> dict[str, Any]:
    """A process looks at itself, collected and trimmed; it runs on engines and in daemons, too."""
    import ctypes
    import gc
    import sys
    import threading
    from collections import Counter

    class Malloc(ctypes.Structure):
        _fields_ = [  # type: ignore[mutable-override]
            (name, ctypes.c_size_t)
            for name in (
                "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks",
                "uordblks", "fordblks", "keepcost",
            )
        ]  # fmt: skip

    for thread in threading.enumerate():
        if thread.name in ("Peek", "Nudge"):
            thread.join(10)
    gc.collect()
    objects = Counter(type(each).__name__ for each in gc.get_objects())
    libc = ctypes.CDLL(None)
    libc.malloc_trim(0)  # last, as the count takes half a megabyte
    libc.mallinfo2.restype = Malloc
    used = libc.mallinfo2()
    return {
        "objects": objects,
        "malloc_bytes": used.uordblks + used.hblkhd,
        "small_objects": sys.getallocatedblocks(),
    }


_DAEMON = f"""
from __future__ import annotations
import json, signal, sys
from dataclasses import asdict
from kernelfleet.controller.daemon import run_daemon
from kernelfleet.controller.options import FleetOptions

{inspect.getsource(look_inside)}
signal.signal(signal.SIGUSR1, lambda *_: print(json.dumps(look_inside()), flush=True))
options = FleetOptions.of(**json.loads(sys.argv[1]))
run_daemon(options, lambda fleet: print(json.dumps(asdict(fleet)), flush=True))
"""

#: The ``sitecustomize`` of a node, which keeps it to itself: its engines have none. What it sees is
#: beside this file, under its pid.
_NODE = f"""
from __future__ import annotations
import json, os, signal, sys

{inspect.getsource(look_inside)}
def tell(*_):
    path = os.path.join(os.path.dirname(__file__), str(os.getpid()))
    with open(path + ".new", "w") as file:
        json.dump(look_inside(), file)
    os.rename(path + ".new", path)

if "kernelfleet.node" in sys.orig_argv:
    folder, _, others = os.environ.pop("PYTHONPATH").partition(os.pathsep)
    if others:
        os.environ["PYTHONPATH"] = others
    sys.path.remove(folder)
    signal.signal(signal.SIGUSR1, tell)
"""


class SoakedFleet(OwnFleet):
    """A fleet whose daemon, or nodes, look at themselves when they get SIGUSR1."""

    daemon = _DAEMON

    def __init__(self, transport: str = "unix", n: int = 2, **options: object) -> None:
        self._folder = tempfile.TemporaryDirectory()
        try:
            super().__init__(transport, n, **options)
        except BaseException:
            self._folder.cleanup()
            raise

    def _start_on_two_nodes(self, n: int, options: dict[str, object]) -> None:
        (Path(self._folder.name) / "sitecustomize.py").write_text(_NODE)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", self._folder.name, prepend=os.pathsep)
            super()._start_on_two_nodes(n, options)

    def clean_up(self) -> None:
        """After the test, whatever state it left."""
        try:
            super().clean_up()
        finally:
            self._folder.cleanup()

    def nodes(self) -> list[psutil.Process]:
        """Its nodes; other fleets of this test process may have some, too."""
        found = []
        for process in node_processes():
            with contextlib.suppress(psutil.Error):
                if self._folder.name in process.environ().get("PYTHONPATH", ""):
                    found.append(process)
        return found

    def look_inside_node(self, node: psutil.Process) -> JsonDict:
        """What a node sees."""
        path = Path(self._folder.name) / str(node.pid)
        node.send_signal(signal.SIGUSR1)
        eventually(path.exists, 60)
        said = json.loads(path.read_text())
        path.unlink()
        return dict(said)

    def look_inside(self) -> JsonDict:
        """What the daemon sees."""
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGUSR1)
        return dict(json.loads(self.process.stdout.readline()))


@dataclass(frozen=True)
class Reading:
    """One process."""

    rss_bytes: int
    #: Memory that is its own alone; it rises, too, when others who shared some have ended.
    uss_bytes: int
    #: How many there are of what: files by name, sockets, blocks of shared memory...
    descriptors: Counter[str]
    threads: int
    #: What it uses of that, more exactly; 0 where the process cannot look at itself.
    used_bytes: int
    n_objects: int
    #: By type.
    objects: Counter[str]


@dataclass(frozen=True)
class Stock:
    """All processes of a fleet and its client, and the files."""

    readings: dict[str, Reading]
    files: int
    log_bytes: int


def look_at(pid: int, inside: JsonDict | None) -> Reading:
    """A process, from outside and with what it has told of itself."""
    process = psutil.Process(pid)
    memory = process.memory_full_info()
    inside = inside or {"malloc_bytes": 0, "small_objects": 0, "objects": {}}
    return Reading(
        memory.rss,
        memory.uss,
        _descriptors(pid),
        process.num_threads(),
        inside["malloc_bytes"] + SMALL_BYTES * inside["small_objects"],
        sum(inside["objects"].values()),
        Counter(inside["objects"]),
    )


def _descriptors(pid: int) -> Counter[str]:
    kinds: Counter[str] = Counter()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            kind = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue  # that of this very listing, in our own process
        kinds[BLOCK if kind.startswith("/memfd:kernelfleet") else re.sub(r"\d+", "", kind)] += 1
    return kinds


def take(fleet: SoakedFleet, mec: MultiEngineClient) -> Stock:
    """Look at everything, once nothing is under way any more."""
    _settle(mec)
    seen = mec.apply(look_inside, timeout=60)
    readings = {"client": look_at(os.getpid(), look_inside())}
    mec.get_ids()  # tells the controller what has just been collected here
    engines = mec.engines()
    if fleet.process is not None:
        readings["controller"] = look_at(fleet.process.pid, fleet.look_inside())
    for engine, inside in zip(engines, seen, strict=True):
        assert engine.pid is not None
        readings[f"engine {engine.id}"] = look_at(engine.pid, inside)
    nodes = fleet.nodes()
    assert len(nodes) == (2 if fleet.transport == "nodes" else 0)
    for number, node in enumerate(nodes):
        readings[f"node {number}"] = look_at(node.pid, fleet.look_inside_node(node))
    assert engines[0].pid is not None
    if (server := _fork_server(engines[0].pid)) is not None:
        readings[FORK_SERVER] = look_at(server, None)
    logs = [path for path in (fleet_paths.log_dir(fleet.name).parent).rglob("*") if path.is_file()]
    files = [path for path in fleet_paths.fleets_dir().rglob("*") if not path.is_dir()]
    return Stock(readings, len(files) + len(logs), sum(path.stat().st_size for path in logs))


def _settle(mec: MultiEngineClient) -> None:
    """Return when nothing is under way: neither here nor on any engine."""

    def quiet() -> bool:
        gc.collect()
        return not any(thread.name in PASSING_THREADS for thread in threading.enumerate())

    eventually(quiet, 30)
    mec.barrier(timeout=60)
    eventually(lambda: all(not status["queue"] for _, status in mec.queue_status()), 30)
    mec.reset(timeout=60)  # In, Out and the variables are the user's, and grow by design
    # What the controller keeps of results that nobody holds is bounded, in number and bytes; now
    # it is full, and always with the same.
    mec.barrier([mec.execute("", [], block=False) for _ in range(KEPT)], timeout=60)


def _fork_server(engine_pid: int) -> int | None:
    parent = psutil.Process(engine_pid).parent()
    if parent is None or "kernelfleet.provisioners.zygote" not in " ".join(parent.cmdline()):
        return None
    return parent.pid


def grown(before: Counter[str], after: Counter[str]) -> str:
    """What there is more of, most first."""
    return ", ".join(f"{n} {name}" for name, n in (after - before).most_common(8))
