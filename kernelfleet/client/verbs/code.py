"""Running code on engines: a cell, or a script of this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, overload

from kernelfleet.client import frontend
from kernelfleet.client.base import BaseClient
from kernelfleet.client.controller_proxy import OnOutput
from kernelfleet.client.results.pending import PendingResult
from kernelfleet.client.source import read_script
from kernelfleet.client.targets import Targets
from kernelfleet.results import ResultList


class CodeVerbs(BaseClient):
    """``execute`` and ``run``; see ``MultiEngineClient``."""

    # fmt: off
    @overload
    def execute(self, code: str, targets: Targets | None = ..., block: None = ..., *,
        timeout: float | None = ..., on_output: OnOutput | None = ...,
        progress: bool | None = ...) -> ResultList | Any: ...
    @overload
    def execute(self, code: str, targets: Targets | None = ..., block: Literal[True] = ..., *,
        timeout: float | None = ..., on_output: OnOutput | None = ...,
        progress: bool | None = ...) -> ResultList: ...
    @overload
    def execute(self, code: str, targets: Targets | None = ..., block: Literal[False] = ..., *,
        on_output: OnOutput | None = ...,
        progress: bool | None = ...) -> PendingResult[ResultList]: ...
    @overload
    def execute(self, code: str, targets: Targets | None = ..., block: bool | None = ..., *,
        timeout: float | None = ..., on_output: OnOutput | None = ...,
        progress: bool | None = ...) -> ResultList | Any: ...
    # fmt: on
    def execute(
        self,
        code: str,
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
        on_output: OnOutput | None = None,
        progress: bool | None = None,
    ) -> Any:
        """Run code on engines as IPython would: magics, ``!shell``, top-level ``await``.

        Args:
            code: One cell.
            targets: Which engines; None takes the client's.
            block: Wait for the value, or return a PendingResult; None takes the client's.
            timeout: Seconds to wait; None means no limit. The work goes on after it.
            on_output: Called as ``on_output(engine_id, msg_type, content)`` with each Jupyter
                output message as it comes, on kernelfleet's own thread.
            progress: Show a bar if it takes long; None takes the client's.

        Returns:
            A ``ResultList`` of one result per target, in target order. Each is a dict with
            ``input``, ``number``, ``id`` and, where something was printed, ``stdout`` and
            ``stderr``; its ``value`` is the object of the last expression.

        Raises:
            CompositeError: the code failed on one or more engines; the results of the others are
                in its ``results``, by engine id.
            CallTimeout: ``timeout`` expired; ``.pending_result`` is the call, which goes on.
            InvalidEngineID: an engine is not there; nothing was sent.
            TypeError: ``code`` is no string.

        Example:
            >>> results = mec.execute("print(6 * 7)")
            >>> [int(result.stdout) for result in results]
            [42, 42, 42, 42]
            >>> mec.execute("6 * engine_id", targets=[1, 3])[1].value
            18
        """
        if not isinstance(code, str):
            raise TypeError(f"code must be a str, not {type(code).__name__}")
        return self._execute(
            {"code": code}, label_of(code), targets, block,
            timeout=timeout, on_output=on_output, progress=progress,
        )  # fmt: skip

    def _execute(
        self,
        content: dict[str, Any],
        label: str,
        targets: Targets | None,
        block: bool | None,
        *,
        timeout: float | None,
        on_output: OnOutput | None,
        progress: bool | None,
    ) -> Any:
        """Run a cell, or with ``script_path`` in the content a script."""
        blocks, ids = self._blocks(block, timeout), self._resolve(targets)
        if blocks and on_output is None:
            live = frontend.current().live_output(in_result=True)
            if live is not None:
                self._refuse_to_wait_for_itself(ids, "execute")
                begin = partial(self._start_code, content, label, ids)
                return live.wait(self, begin, timeout, progress=self._shows_progress(progress))
        return self._run(
            *_request(content, label),
            targets=ids, blocks=blocks, timeout=timeout, on_output=on_output,
            progress=progress,
        )  # fmt: skip

    def _start_code(
        self, content: dict[str, Any], label: str, targets: list[int], on_output: OnOutput | None
    ) -> PendingResult[ResultList]:
        """Send a cell, or a script, to these engines and do not wait for it."""
        pending: PendingResult[ResultList] = self._run(
            *_request(content, label),
            targets=targets, blocks=False, timeout=None, on_output=on_output,
        )  # fmt: skip
        return pending

    # fmt: off
    @overload
    def run(self, path: str | os.PathLike[str], targets: Targets | None = ..., block: None = ..., *,
        args: Sequence[str] = ..., timeout: float | None = ..., on_output: OnOutput | None = ...,
        progress: bool | None = ...) -> ResultList | Any: ...
    @overload
    def run(self, path: str | os.PathLike[str], targets: Targets | None = ...,
        block: Literal[True] = ..., *, args: Sequence[str] = ..., timeout: float | None = ...,
        on_output: OnOutput | None = ..., progress: bool | None = ...) -> ResultList: ...
    @overload
    def run(self, path: str | os.PathLike[str], targets: Targets | None = ...,
        block: Literal[False] = ..., *, args: Sequence[str] = ..., on_output: OnOutput | None = ...,
        progress: bool | None = ...) -> PendingResult[ResultList]: ...
    @overload
    def run(self, path: str | os.PathLike[str], targets: Targets | None = ...,
        block: bool | None = ..., *, args: Sequence[str] = ..., timeout: float | None = ...,
        on_output: OnOutput | None = ..., progress: bool | None = ...) -> ResultList | Any: ...
    # fmt: on
    def run(
        self,
        path: str | os.PathLike[str],
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        args: Sequence[str] = (),
        timeout: float | None = None,
        on_output: OnOutput | None = None,
        progress: bool | None = None,
    ) -> Any:
        """Run a local script on engines, as ``python script.py`` would, in their namespace.

        The script finds its ``__file__`` and its arguments, imports the modules beside it (where
        an engine sees the folder), has its own name in tracebacks, and ends well with
        ``sys.exit(0)``. What it defines stays on the engine. An ``.ipy`` file may hold IPython's
        syntax.

        Args:
            path: The script. It is read and compiled here; the engines need not see the file.
            targets: Which engines; None takes the client's.
            block: Wait for the value, or return a PendingResult; None takes the client's.
            args: What the script finds in ``sys.argv`` behind its name.
            timeout: Seconds to wait; None means no limit. The work goes on after it.
            on_output: As for ``execute``.
            progress: Show a bar if it takes long; None takes the client's.

        Returns:
            A ``ResultList`` as of ``execute``: one result per target, in target order.

        Raises:
            OSError: the file cannot be read.
            SyntaxError: it does not compile; nothing was sent.
            CompositeError: it failed on one or more engines.
            CallTimeout: ``timeout`` expired; the work goes on.

        Example:
            >>> from pathlib import Path
            >>> _ = Path("simulate.py").write_text("import sys; steps = int(sys.argv[2])")
            >>> results = mec.run("simulate.py", args=["--steps", "100"])
            >>> mec["steps"]
            [100, 100, 100, 100]
        """
        if isinstance(args, str) or not all(isinstance(each, str) for each in args):
            raise TypeError(f"args is a list of texts, not {args!r}")
        script = Path(path)
        return self._run_script(
            read_script(script), str(script.resolve()), [os.fspath(path), *args], targets, block,
            timeout=timeout, on_output=on_output, progress=progress,
        )  # fmt: skip

    def _run_script(
        self,
        code: str,
        path: str,
        argv: Sequence[str],
        targets: Targets | None = None,
        block: bool | None = None,
        *,
        timeout: float | None = None,
        on_output: OnOutput | None = None,
        progress: bool | None = None,
    ) -> Any:
        content = {"code": code, "script_path": path, "argv": list(argv)}
        return self._execute(
            content, f"run({Path(path).name!r})", targets, block,
            timeout=timeout, on_output=on_output, progress=progress,
        )  # fmt: skip


def _request(content: dict[str, Any], label: str) -> tuple[dict[str, Any], list[Any], Any]:
    """The request that runs code, the frames it comes with, and how its answer is read."""
    header = {"operation": "execute", "content": content, "label": label}
    return header, [], {"kind": "execute", "code": content["code"]}


def label_of(code: str) -> str:
    """What ``queue_status`` shows of a command: ``execute('time.sleep(2)')``, cut to a line."""
    text = repr(code)
    return f"execute({text if len(text) <= 200 else text[:150] + '...' + text[-40:]})"
