"""Fleets that are not there, as the server would describe them: they show what is rare or large."""

from __future__ import annotations

import json
import time
from typing import Any


def engine(engine_id: int, **fields: Any) -> dict[str, Any]:
    """The row of an engine, as docs/rest.md describes it."""
    row = {
        "id": engine_id, "state": "idle", "pid": 1000 + engine_id, "node": "here",
        "kernel_name": None, "python": "3.11.7", "executable": "python", "connection_file": "",
        "memory_bytes": (60 + engine_id % 40) << 20, "cpu_percent": 0, "queue": 0, "executed": 0,
        "started": time.time() - 60, "running": None, "running_since": None, "result_id": None,
    }  # fmt: skip
    return {**row, **fields}


def span(
    number: int, engine_id: int, call: str, started: float, seconds: float, **fields: Any
) -> dict[str, Any]:
    """A piece of work, as docs/rest.md describes it."""
    row = {
        "number": number, "engine": engine_id, "call": call, "what": f"execute('{call}')",
        "operation": "execute", "started": started, "seconds": seconds, "waited": 0.0,
        "outcome": "ok", "error": "",
    }  # fmt: skip
    return {**row, **fields}


def head(name: str, engines: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """A fleet without its engines."""
    counts: dict[str, int] = {}
    for row in engines:
        counts[row["state"]] = counts.get(row["state"], 0) + 1
    return {
        "name": name, "state": "running", "embedded": False,
        "owner": {"kind": "daemon", "pid": 1, "host": "here", "path": None},
        "pid": 1, "host": "here", "started": time.time() - 60, "tcp": None,
        "connection_file": "", "cluster": None, "counts": counts, "nodes": 1,
        "connect": f"%load_ext kernelfleet\n%fleet connect {name}", "problem": None, **fields,
    }  # fmt: skip


class FakeServer:
    """Answers a page instead of the server, with whatever a test puts into ``fleets``.

    Args:
        page: The page; from its next request on it is answered.
    """

    def __init__(self, page: Any) -> None:
        self.fleets: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {}
        self.sockets: list[Any] = []
        self.bodies: list[Any] = []
        self.looks: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str]] = []
        self.problem: tuple[int, dict[str, str]] | None = None
        page.route("**/kernelfleet/api/**", self._answer)
        page.route_web_socket("**/kernelfleet/api/watch*", self._accept)

    @property
    def asked(self) -> set[tuple[str, str]]:
        """The methods and paths that were asked for."""
        return {(method, path.partition("?")[0]) for method, path in self.requests}

    def put(self, name: str, engines: list[dict[str, Any]], **fields: Any) -> None:
        """Have a fleet, or have it changed."""
        self.fleets[name] = head(name, engines, **fields), engines

    def _answer(self, route: Any) -> None:
        method, path = route.request.method, route.request.url.partition("/kernelfleet/api/")[2]
        self.requests.append((method, path))
        if method == "POST":
            self.bodies.append(route.request.post_data_json)
        if self.problem is not None:
            status, problem = self.problem
            route.fulfill(status=status, content_type="application/json", body=json.dumps(problem))
            return
        fleets = [{**one, "engines": rows} for one, rows in self.fleets.values()]
        answer = {"version": "0", "cores": 2, "clusters": ["dask", "ssh"], "fleets": fleets}
        route.fulfill(status=200, content_type="application/json", body=json.dumps(answer))

    def _accept(self, socket: Any) -> None:
        self.sockets.append(socket)
        socket.on_message(lambda message: self.looks.append(json.loads(message)))
        socket.on_close(lambda *_: self.sockets.remove(socket))
        socket.send(self._message(full=True))

    def _message(self, *, full: bool, spans: dict[str, list[dict[str, Any]]] | None = None) -> str:
        changes = []
        for name, (one, rows) in self.fleets.items():
            change = {"name": name, "head": one, "engines": rows, "new": full}
            if spans is not None:
                done = [span for span in spans.get(name, []) if span["outcome"] != "running"]
                change["spans"] = done
                change["running"] = [span for span in spans.get(name, []) if span not in done]
            changes.append(change)
        return json.dumps(
            {"type": "update", "now": time.time(), "full": full, "fleets": changes, "gone": []}
        )

    def tell(self, spans: dict[str, list[dict[str, Any]]] | None = None) -> None:
        """Tell every open page what is there now."""
        for socket in self.sockets:
            socket.send(self._message(full=False, spans=spans))
