"""What verbs return: ExecutionResult, ResultList, and EngineInfo, the rows of ``mec.engines()``.

Plain values: nothing here talks to an engine, except that ``ExecutionResult.value`` calls the
fetcher it was given. How they look as text is decided here, and is a promise:

- a result prints as the dict it is;
- a list prints one ``[id] In [number]: input`` line each, then its Out, then its Err block.
  Text keeps its own newline, so a blank line follows what was printed. A last expression's value
  stands in the Out block after what was printed, on a line of its own, as a shell shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self, SupportsIndex, overload

from kernelfleet.errors.tree import UnsupportedOperation, error_text

#: One Jupyter output: a dict as in a notebook file.
Output = dict[str, Any]


class ExecutionResult(dict[str, Any]):
    """One command on one engine.

    As a dict it has ``input``, ``number``, ``id``, and ``stdout`` and ``stderr`` if there was any.
    The rest are attributes. Equality is that of the dict.

    Attributes:
        outputs: Jupyter outputs, as in a notebook file.
        started: When it started, in seconds since the epoch, by the engine's clock.
        completed: When it ended.
        error: What it raised, or None.
    """

    def __init__(
        self,
        engine_id: int,
        number: int,
        raw: str,
        translated: str | None = None,
        *,
        stdout: str = "",
        stderr: str = "",
        outputs: Iterable[Output] = (),
        started: float | None = None,
        completed: float | None = None,
        error: Exception | None = None,
        fetch: Callable[[], Any] | None = None,
    ) -> None:
        translated = raw if translated is None else translated
        super().__init__(input={"translated": translated, "raw": raw}, number=number, id=engine_id)
        if stdout:
            self["stdout"] = stdout
        if stderr:
            self["stderr"] = stderr
        self.outputs = list(outputs)
        self.started = started
        self.completed = completed
        self.error = error
        self._fetch = fetch

    @property
    def stdout(self) -> str:
        """What the command printed; '' if nothing."""
        return str(self.get("stdout", ""))

    @property
    def stderr(self) -> str:
        """What the command printed to stderr; '' if nothing."""
        return str(self.get("stderr", ""))

    @property
    def duration(self) -> float | None:
        """Seconds it took, by the engine's clock; None if that is not known."""
        if self.started is None or self.completed is None:
            return None
        return self.completed - self.started

    @property
    def value(self) -> Any:
        """The last expression's object, fetched from the engine when first asked for.

        None if the command ended with a statement.

        Raises:
            ValueGone: The engine has not got it any more: it was restarted or reset, or IPython's
                ``Out`` has dropped it.
            UnsupportedOperation: This result was pickled or copied: it has no way to its engine.
        """
        if "_value" not in self.__dict__:
            if self._fetch is None:
                raise UnsupportedOperation(
                    f"the value of In [{self['number']}] on engine {self['id']} cannot be fetched: "
                    "this result has no connection to its engine (was it pickled or copied?)"
                )
            self._value = self._fetch()
        return self._value

    def __getstate__(self) -> dict[str, Any]:
        # The fetcher holds a connection; an error or a value may be of a class that cannot travel.
        from kernelfleet.wire.objects.exceptions import freeze_error

        state = {**self.__dict__, "_fetch": None}
        state.pop("_value", None)
        if self.error is not None:
            state["error"] = freeze_error(self.error)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        from kernelfleet.wire.objects.exceptions import thaw_error

        self.__dict__.update(state)
        if state["error"] is not None:
            self.error = thaw_error(state["error"])


class ResultList(list[ExecutionResult]):
    """The results of one command, in target order."""

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> ExecutionResult: ...
    @overload
    def __getitem__(self, index: slice, /) -> ResultList: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> ExecutionResult | ResultList:
        """One result, or a ResultList of a slice."""
        if isinstance(index, slice):
            return ResultList(super().__getitem__(index))
        return super().__getitem__(index)

    @property
    def stdout(self) -> list[str]:
        """What each command printed."""
        return [result.stdout for result in self]

    @property
    def by_engine(self) -> dict[int, ExecutionResult]:
        """Engine id -> result; of an engine that was targeted twice, its last one."""
        return {result["id"]: result for result in self}

    def values(self) -> list[Any]:
        """Each one's last expression's object, fetched from its engine."""
        return [result.value for result in self]

    def __repr__(self) -> str:
        return "<Results List>\n" + "".join(map(_as_text, self))

    def _repr_html_(self) -> str:
        from kernelfleet.display import html

        commands = []
        for result in self:
            error = None if result.error is None else error_text(result.error)
            code, outputs = result["input"]["raw"], _outputs_shown(result)
            commands.append(html.Command(result["id"], result["number"], code, outputs, error))
        return html.results(commands)


def _outputs_shown(result: ExecutionResult) -> list[Output]:
    """The outputs of a command; if it has cleared all of them, what it had printed before."""
    if result.outputs:
        return result.outputs
    return [
        {"output_type": "stream", "name": name, "text": text}
        for name, text in (("stdout", result.stdout), ("stderr", result.stderr))
        if text
    ]


def _as_text(result: ExecutionResult) -> str:
    """One result as ResultList shows it."""
    where, number = f"[{result['id']}]", result["number"]
    parts = [f"{where} In [{number}]: {result['input']['raw']}\n"]
    if shown := _out_text(_left_of(result, "stdout"), result.outputs):
        parts.append(f"{where} Out[{number}]: {shown}\n")
    if stderr := _left_of(result, "stderr"):
        parts.append(f"{where} Err[{number}]: {_ended(stderr)}")
    if result.error is not None:
        parts.append(f"{where} Err[{number}]: {_ended(error_text(result.error))}")
    return "".join(parts)


def _left_of(result: ExecutionResult, name: str) -> str:
    """What a stream shows in the end: a loop that clears its output leaves its last frame.

    ``result.stdout`` has all that was printed. Where all of it was cleared, it is shown.
    """
    left = [
        text if isinstance(text := output.get("text", ""), str) else "".join(text)
        for output in result.outputs
        if output.get("output_type") == "stream" and output.get("name", "stdout") == name
    ]
    return "".join(left) if left else str(result.get(name, ""))


def _out_text(stdout: str, outputs: Sequence[Mapping[str, Any]]) -> str:
    """What was printed, then the last expression's value on a line of its own."""
    values = [
        text if isinstance(text, str) else "".join(text)
        for output in outputs
        if output.get("output_type") == "execute_result"
        and (text := output.get("data", {}).get("text/plain"))
    ]
    if not values:
        return stdout
    return (_ended(stdout) if stdout else "") + "".join(map(_ended, values))


def _ended(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"


@dataclass(frozen=True)
class EngineInfo:
    """One engine, as ``mec.engines()`` lists it.

    Attributes:
        id: Its number in the fleet.
        state: One word: ``idle``, ``busy``, ``starting``, ``leaving`` (after ``scale``),
            ``stopping``, ``dead``, or ``stopped``: by SIGSTOP, until SIGCONT or a restart.
        pid: Its process; None where there is no process of this kind.
        host: The machine it runs on.
        kernel_name: The kernelspec it was started from.
        python: The version of Python it runs (``3.11.7``); None for another language.
        executable: The interpreter it runs.
        connection_file: What ``jupyter console --existing`` takes.
        transport: How the controller talks to it: ``ipc`` (a Unix socket), ``tcp+curve``
            (encrypted) or, for kernels that know neither, ``tcp`` (signed, but not encrypted).
        memory_bytes: Its memory; None if not known. It holds what IPython keeps: the code of each
            command, and the last 1000 values in ``Out`` (``Limits.out_bytes`` bounds their size).
        queue: How many requests wait for it.
        executed: How many commands it has executed since it was started.
        started: When it was started, in seconds since the epoch.
        cpu_seconds: How much processor time it has used; None if not known.
        cpu_percent: How busy it was just now, 100 being one processor; None unless
            ``mec.engines(cpu=True)`` has measured it.
        running: What it runs, as ``queue_status`` shows it; None if nothing.
        running_since: Since when it does, in seconds since the epoch.
        result_id: With it ``mec.pending_result`` and ``%fleet attach`` find what it runs; None if
            nothing, or if that ends with the client that asked for it (a map, an executor's task).
    """

    id: int
    state: str
    pid: int | None = None
    host: str | None = None
    kernel_name: str | None = None
    python: str | None = None
    executable: str | None = None
    connection_file: str | None = None
    transport: str | None = None
    memory_bytes: int | None = None
    queue: int = 0
    executed: int = 0
    started: float | None = None
    cpu_seconds: float | None = None
    cpu_percent: float | None = None
    running: str | None = None
    running_since: float | None = None
    result_id: str | None = None

    @classmethod
    def from_wire(cls, row: Mapping[str, Any]) -> Self:
        """From the controller's message; what a newer controller adds is left out."""
        return cls(**{each.name: row[each.name] for each in fields(cls) if each.name in row})


class EngineList(list[EngineInfo]):
    """The engines of a fleet, as ``mec.engines()`` gives them: a list that shows as a table."""

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> EngineInfo: ...
    @overload
    def __getitem__(self, index: slice, /) -> EngineList: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> EngineInfo | EngineList:
        """One engine, or an EngineList of a slice."""
        if isinstance(index, slice):
            return EngineList(super().__getitem__(index))
        return super().__getitem__(index)

    def __repr__(self) -> str:
        from kernelfleet.display import tables

        shown = tables.engine_table(self)
        return tables.as_text(shown.columns, shown.rows)

    def _repr_html_(self) -> str:
        from kernelfleet.display import html

        return html.engines(self)


class QueueEntry(str):
    """What waits or runs in an engine's queue: the text, and with which id it is found again.

    It is the text that ``queue_status`` has always shown, and equal to it; its repr adds the id.

    Attributes:
        result_id: What ``mec.pending_result`` takes; None for what ends with its client.
    """

    result_id: str | None

    def __new__(cls, text: str, result_id: str | None = None) -> Self:
        """The entry of a text."""
        self = super().__new__(cls, text)
        self.result_id = result_id
        return self

    def __repr__(self) -> str:
        shown = str.__repr__(self)
        return f"{shown} <{self.result_id}>" if self.result_id else shown

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.result_id)
