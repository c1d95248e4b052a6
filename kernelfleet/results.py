"""What the methods of a client return: results of commands, and descriptions of engines.

These are plain values. Nothing here talks to an engine, except that ``ExecutionResult.value`` calls
the function that it was given for that. How they look as text is decided here, and is a promise:

- an ``ExecutionResult`` prints as the dict that it is;
- a ``ResultList`` prints, for each result, a line ``[id] In [number]: input``, then the Out block,
  then the Err block. Printed text keeps its own newline, so a blank line follows it. The value of
  the last expression stands in the Out block after the printed text, on a line of its own, as a
  shell shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self, SupportsIndex, overload

from kernelfleet.errors.tree import UnsupportedOperation, error_text

#: One Jupyter output: a dict as in a notebook file.
Output = dict[str, Any]


class ExecutionResult(dict[str, Any]):
    """The result of one command on one engine.

    It is a dict of ``input`` (``{'raw': ..., 'translated': ...}``), ``number`` and ``id``, and of
    ``stdout`` and ``stderr`` if the command has printed anything there. Two results are equal if
    their dicts are. Everything else is an attribute.

    Attributes:
        outputs: The Jupyter outputs, as dicts in the format of a notebook file.
        started: When the command started, in seconds since the epoch, by the clock of the engine's
            machine; None if that is not known.
        completed: When the command ended, in the same way.
        error: The exception that the command raised; None if it raised none.

    Example:
        >>> result = ExecutionResult(0, 1, "print('hello')", stdout="hello")
        >>> result["id"], result["number"], result["input"]["raw"]
        (0, 1, "print('hello')")
        >>> result.stdout
        'hello'
        >>> result.stderr, result.error
        ('', None)
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
        """What the command printed to stdout; empty if it printed nothing there."""
        return str(self.get("stdout", ""))

    @property
    def stderr(self) -> str:
        """What the command printed to stderr; empty if it printed nothing there."""
        return str(self.get("stderr", ""))

    @property
    def duration(self) -> float | None:
        """How long the command took, in seconds; None if that is not known."""
        if self.started is None or self.completed is None:
            return None
        return self.completed - self.started

    @property
    def value(self) -> Any:
        """The object of the command's last expression; None if it ended with a statement.

        It is fetched from the engine when the attribute is first read, and then kept.

        Raises:
            ValueGone: The engine does not have the object any more: the engine was restarted or
                reset, or IPython's ``Out`` has dropped the object.
            UnsupportedOperation: This result was pickled or copied, and so has no connection to
                its engine.
            CompositeError: The object cannot be pickled; its member is a SerializationError.
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
        # The function that fetches the value holds a connection, and stays here. The value is of
        # any class, so it may not be picklable. The error is frozen for the same reason.
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
    """The results of one command, one for each engine, in the order of the targets.

    Example:
        >>> results = ResultList(ExecutionResult(i, 1, "print(1)", stdout="1") for i in (0, 1))
        >>> results.stdout
        ['1', '1']
        >>> print(repr(results).splitlines()[1])
        [0] In [1]: print(1)
        >>> sorted(results.by_engine)
        [0, 1]
    """

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> ExecutionResult: ...
    @overload
    def __getitem__(self, index: slice, /) -> ResultList: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> ExecutionResult | ResultList:
        """The result at an index, or a ResultList of those in a slice."""
        if isinstance(index, slice):
            return ResultList(super().__getitem__(index))
        return super().__getitem__(index)

    @property
    def stdout(self) -> list[str]:
        """What each engine printed to stdout, in the order of the targets."""
        return [result.stdout for result in self]

    @property
    def by_engine(self) -> dict[int, ExecutionResult]:
        """The results by the id of their engine.

        If an engine was targeted more than once, its last result counts.
        """
        return {result["id"]: result for result in self}

    def values(self) -> list[Any]:
        """The objects of the last expressions, each fetched from its engine.

        Returns:
            A list in the order of the targets; None stands for a command that ended with a
            statement.

        Raises:
            ValueGone: An engine does not have its object any more.
            UnsupportedOperation: The results were pickled or copied.
        """
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
    """One result in the form that a ResultList prints."""
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
    """What is left of a stream when the command has ended.

    A loop that clears its output leaves only its last frame, while ``result.stdout`` has all that
    was printed. If everything was cleared, all that was printed is shown.
    """
    left = [
        text if isinstance(text := output.get("text", ""), str) else "".join(text)
        for output in result.outputs
        if output.get("output_type") == "stream" and output.get("name", "stdout") == name
    ]
    return "".join(left) if left else str(result.get(name, ""))


def _out_text(stdout: str, outputs: Sequence[Mapping[str, Any]]) -> str:
    """The printed text, then the value of the last expression on a line of its own."""
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
    """One engine, as ``mec.engines()`` describes it.

    An attribute is None if its value is not known.

    Attributes:
        id: The number of the engine in its fleet.
        state: One word: ``idle``, ``busy``, ``starting``, ``leaving`` (``scale`` will end it when
            its work is done), ``stopping``, ``dead``, or ``stopped`` (by SIGSTOP, until SIGCONT or
            a restart).
        pid: The id of its process; None if it has no process of its own on the fleet's machine.
        host: The name of the machine on which it runs.
        node: The name of its node; None if the fleet runs on one machine. Its ``pid`` and
            ``connection_file`` are of that node.
        kernel_name: The name of the kernelspec that it was started from.
        python: Its version of Python (``3.11.7``); None if it runs another language.
        executable: The path of its interpreter.
        connection_file: The path of its connection file, for ``jupyter console --existing``.
        transport: How the controller is connected to it: ``ipc`` (a Unix socket), ``tcp+curve``
            (encrypted) or, for kernels that can do neither, ``tcp`` (signed, but not encrypted).
        memory_bytes: The memory of its process. It includes what IPython keeps: the code of each
            command, and the last 1000 values in ``Out`` (``Limits.out_bytes`` bounds their size).
        queue: How many requests wait for it.
        executed: How many commands it has executed since it was started.
        started: When it was started, in seconds since the epoch.
        cpu_seconds: How many seconds of processor time it has used.
        cpu_percent: How busy it was just now; 100 is one processor. None unless it was measured
            (``mec.engines(cpu=True)``).
        running: What it runs, in the words of ``queue_status``; None if it runs nothing.
        running_since: When that began, in seconds since the epoch.
        result_id: The id with which ``mec.pending_result`` and ``%fleet attach`` find what it runs.
            None if it runs nothing, or something that ends with its client (a map, an executor's
            task).

    Example:
        >>> EngineInfo(id=0, state="idle", pid=4711).state
        'idle'
    """

    id: int
    state: str
    pid: int | None = None
    host: str | None = None
    node: str | None = None
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
        """An engine from a row of the controller's reply.

        Fields that this version does not know, because the controller is newer, are left out.
        """
        return cls(**{each.name: row[each.name] for each in fields(cls) if each.name in row})


class EngineList(list[EngineInfo]):
    """The engines of a fleet, as ``mec.engines()`` returns them: a list that prints as a table.

    Example:
        >>> EngineList([EngineInfo(id=0, state="idle"), EngineInfo(id=1, state="busy", queue=2)])
        engine  state  pid  queue  executed  memory  up  kernel  Python  executable
        0       idle   -    0      0         -       -   -       -       -
        1       busy   -    2      0         -       -   -       -       -
    """

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> EngineInfo: ...
    @overload
    def __getitem__(self, index: slice, /) -> EngineList: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> EngineInfo | EngineList:
        """The engine at an index, or an EngineList of those in a slice."""
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
    """One call in an engine's queue: its text, and the id with which its result is found.

    It is a ``str``, such as ``execute('time.sleep(2)')``, and equal to its text. Its repr shows the
    id as well.

    Attributes:
        result_id: The id for ``mec.pending_result`` and ``%fleet attach``; None if the call ends
            with the client that made it (a map, an executor's task).

    Example:
        >>> QueueEntry("execute('f()')", "a1b2-3")
        "execute('f()')" <a1b2-3>
    """

    result_id: str | None

    def __new__(cls, text: str, result_id: str | None = None) -> Self:
        """An entry with this text."""
        self = super().__new__(cls, text)
        self.result_id = result_id
        return self

    def __repr__(self) -> str:
        shown = str.__repr__(self)
        return f"{shown} <{self.result_id}>" if self.result_id else shown

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.result_id)
