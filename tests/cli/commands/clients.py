"""A client that stands in for that of a running fleet, and remembers what it was asked."""

from __future__ import annotations

from typing import Any

from kernelfleet import EngineInfo, EngineList


class Client:
    """A client of a fleet with the engines 0, 1, 2 and 5, of which 1 works and 5 is dead."""

    def __init__(self) -> None:
        self.fleet = ""
        self.asked: list[tuple[Any, ...]] = []
        self.error: Exception | None = None
        self.targets: Any = "all"

    def __call__(self, name: str) -> Client:
        self.fleet = name
        return self

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def engines(self) -> EngineList:
        return EngineList(
            [
                EngineInfo(id=0, state="idle", python="3.11.7", connection_file="f-0.json"),
                EngineInfo(id=1, state="busy", python="3.11.7", running="execute('f()')"),
                EngineInfo(id=2, state="idle", host="far", connection_file="f-2.json"),
                EngineInfo(id=5, state="dead"),
            ]
        )

    def get_ids(self) -> list[int]:
        return [0, 1, 2]

    def interrupt(self, targets: Any, block: bool, timeout: float) -> None:
        assert block
        self._note("interrupt", targets, timeout)

    def scale(self, n: int, block: bool, timeout: float | None) -> list[int]:
        assert block
        self._note("scale", n, timeout)
        return list(range(n))

    def _note(self, *asked: Any) -> None:
        self.asked.append(asked)
        if self.error is not None:
            raise self.error
