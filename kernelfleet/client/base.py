"""What every verb stands on: the connection, ``block`` and ``targets``, sending and waiting.

::

    verb -> _run(header, frames, decode) -> ControllerProxy -> PendingResult -> value, or that

Each verb says what to send and how to read the answer; ``_run`` alone decides whether to wait.
"""

from __future__ import annotations

import difflib
import os
import platform
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

from kernelfleet.client import frontend
from kernelfleet.client.controller_proxy import (
    ControllerProxy,
    OnOutput,
    close_when_collected,
)
from kernelfleet.client.frontend import Begin
from kernelfleet.client.results.decode import Reader
from kernelfleet.client.results.own_engine import refuse_to_wait_for_itself
from kernelfleet.client.results.pending import PendingResult
from kernelfleet.client.settings import settings
from kernelfleet.client.targets import (
    Targets,
    check_block,
    check_targets,
    check_timeout,
    resolve,
)
from kernelfleet.errors.composite import CompositeError
from kernelfleet.errors.tree import (
    CallTimeout,
    ControllerUnreachable,
    FleetNotFound,
    InvalidEngineID,
    ValueGone,
)
from kernelfleet.session import ctrl_c
from kernelfleet.session import loop as loop_thread
from kernelfleet.session.connection import Endpoint
from kernelfleet.session.transport import SocketTransport, Transport
from kernelfleet.wire import versions
from kernelfleet.wire.files import connection_file
from kernelfleet.wire.files.addresses import is_loopback
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.objects import pythons
from kernelfleet.wire.objects.staying import StaysHere

Watch = Callable[[PendingResult[Any], float | None], None]
Address = tuple[str, int] | str | os.PathLike[str] | None

#: The attributes of a client that users may set.
_SETTABLE = ("block", "targets", "progress")


class BaseClient(StaysHere):
    """The state of a client; see ``MultiEngineClient``."""

    _instead = "give the function what it needs of the engines, or let it make a client of its own"
    _connection: ControllerProxy
    _reader: Reader
    _outstanding: dict[int, PendingResult[Any]]
    _unfetched: weakref.WeakSet[PendingResult[Any]]
    _block: bool
    _targets: Any
    _progress: bool | None
    _parent: BaseClient | None

    def __init__(self, address: Address = None) -> None:
        fleet, url = _find(address)
        source = address if isinstance(address, str | os.PathLike) else fleet.name

        def make(client_id: str, connection: ControllerProxy) -> Transport:
            place = Endpoint(thread.loop, thread.context, fleet, url, client_id)
            return SocketTransport(
                place, connection, partial(connection_file.successor, source, fleet)
            )

        with ctrl_c.held() as hold:
            thread = loop_thread.acquire()
            connection = ControllerProxy(thread, make, url)
            self._take(connection)
            close_when_collected(self, connection)
            if hold.pressed:
                connection.close()  # the caller will not get it

    @classmethod
    def _of(cls, connection: ControllerProxy) -> Self:
        """A client on a connection that somebody else made and closes."""
        client = cls.__new__(cls)
        client._take(connection)
        return client

    def _take(self, connection: ControllerProxy) -> None:
        self._connection = connection
        self._reader = Reader(self._fetch_value)
        self._outstanding = {}
        self._unfetched = weakref.WeakSet()
        self._block = True
        self._targets = "all"
        self._progress = None
        self._parent = None
        frontend.current().client_created()

    # -- attributes -----------------------------------------------------------------------------

    @property
    def block(self) -> bool:
        """Whether verbs wait for their value."""
        return self._block

    @block.setter
    def block(self, value: bool) -> None:
        self._block = check_block(value)

    @property
    def targets(self) -> Any:
        """Which engines verbs go to."""
        return self._targets

    @targets.setter
    def targets(self, value: Targets) -> None:
        self._targets = check_targets(value)

    @property
    def progress(self) -> bool:
        """Whether blocking calls that take long show a bar, where somebody watches."""
        return settings.progress if self._progress is None else self._progress

    @progress.setter
    def progress(self, value: bool) -> None:
        self._progress = check_block(value, "progress")

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _SETTABLE and not name.startswith("_"):
            close = difflib.get_close_matches(name, _SETTABLE, n=1)
            can = f"only {', '.join(_SETTABLE[:-1])} and {_SETTABLE[-1]} can be set"
            hint = f": did you mean `{close[0]}`?" if close else f"; {can}"
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{hint}")
        object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        roster = self._connection.roster
        name = self._connection.fleet.get("name", "?")
        state = "" if self._connection.is_open else f", {self._connection.state}"
        return f"<MultiEngineClient of fleet {name!r}: {len(roster.ids)} engines{state}>"

    def __bool__(self) -> bool:
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End this client (and its views), not the fleet. What still waits fails."""
        if self._parent is None:
            self._connection.close()

    def view(self, targets: Targets, block: bool | None = None) -> Self:
        """A client on the same connection with its own ``targets`` and ``block``.

        Args:
            targets: Which engines its verbs go to.
            block: Whether they wait; None is this client's ``block`` now.

        Returns:
            A client that needs no ``close``: it ends with this one.

        Raises:
            InvalidEngineID: ``targets`` is a string other than ``'all'``, or negative.
            ValueError: ``targets`` is of another type, or ``block`` is no bool.

        Example:
            >>> first = mec.view(0)
            >>> first["a"] = 5
            >>> mec.keys(targets=[0, 1])
            [['a'], []]
        """
        view = type(self)._of(self._connection)
        view._parent = self
        view.targets = targets
        view.block = self._block if block is None else block
        view._progress = self._progress
        return view

    # -- one place for targets and block --------------------------------------------------------

    def _resolve(self, targets: Targets | None, *, allow_dead: bool = False) -> list[int]:
        roster = self._connection.roster
        return resolve(
            self._targets if targets is None else targets,
            roster.ids,
            roster.dead,
            allow_dead=allow_dead,
        )

    def _blocks(self, block: bool | None, timeout: float | None) -> bool:
        blocks = self._block if block is None else check_block(block)
        if check_timeout(timeout) is not None and not blocks:
            raise ValueError("timeout= is for blocking calls; with block=False pass it to result()")
        return blocks

    def _run(
        self,
        header: JsonDict,
        frames: Sequence[Any],
        decode: JsonDict,
        *,
        targets: list[int],
        blocks: bool,
        timeout: float | None,
        on_output: OnOutput | None = None,
        progress: bool | None = None,
    ) -> Any:
        """Send a request, and wait for its value or hand out the PendingResult."""
        if blocks:
            self._refuse_to_wait_for_itself(targets, str(header["operation"]))
        result_id = self._connection.next_result_id()
        header = {
            "type": "request", "targets": targets, "result_id": result_id, "decode": decode,
            **header,
        }  # fmt: skip
        if on_output is not None:
            header["stream"] = True
        if self._connection.roster.others(targets):
            # These engines must send back nothing that this Python cannot run.
            header["content"] = {**header.get("content", {}), "python": pythons.VERSION}
        pending: PendingResult[Any] = PendingResult(
            self._connection,
            self._reader,
            result_id=result_id,
            method=str(decode.get("method", header["operation"])),
            targets=targets,
            decode=decode,
        )
        try:  # from the sending on: a Ctrl-C in between would leave work running unseen
            self._connection.request(header, list(frames), on_output, pending)
            if not blocks:
                self._remember(pending)
                return pending
            return self._wait(pending, timeout, self._watch(progress))
        except KeyboardInterrupt as interrupt:
            settle(pending, interrupt)
            raise

    def _refuse_to_wait_for_itself(self, targets: list[int], method: str) -> None:
        """Raise, before anything is sent, if this process is one of the target engines."""
        refuse_to_wait_for_itself(self._connection, targets, method)

    def _shows_progress(self, progress: bool | None) -> bool:
        """Whether a call shows how far it is, given what was said for this call."""
        return self.progress if progress is None else check_block(progress, "progress")

    def _watch(self, progress: bool | None) -> Watch | None:
        """The function that waits for a call and shows a bar meanwhile; None if none is shown."""
        if not self._shows_progress(progress):
            return None
        from kernelfleet.client.results.progress import watch

        return watch

    def _wait(
        self, pending: PendingResult[Any], timeout: float | None, watch: Watch | None = None
    ) -> Any:
        """Wait for a blocking call; Ctrl-C interrupts the engines that work for it."""
        try:
            return pending.result(timeout) if watch is None else pending._watched(watch, timeout)
        except CompositeError as error:
            # A plain local that outlives the except clause, so that %debug finds it as `e`.
            e = error
        except CallTimeout:
            self._remember(pending)
            raise
        except KeyboardInterrupt as interrupt:
            settle(pending, interrupt)
            raise
        raise e.with_traceback(None)

    def _wait_showing(self, begin: Begin, timeout: float | None, progress: bool | None) -> Any:
        """Make a call whose result does not show what was printed, and wait for it.

        In IPython its output is shown while it comes, and in its final form in the end.
        """
        shows_progress = self._shows_progress(progress)
        live = frontend.current().live_output(in_result=False)
        if live is not None:
            return live.wait(self, begin, timeout, progress=shows_progress)
        return self._wait(begin(None), timeout, self._watch(progress))

    def _remember(self, pending: PendingResult[Any]) -> None:
        """Keep it for ``barrier`` until it has ended, and for ``flush`` while the user holds it."""
        self._unfetched.add(pending)
        outstanding, key = self._outstanding, id(pending)
        outstanding[key] = pending
        # Kept by its id: a callback that refers to the result would make a circle of references,
        # and the result would be kept until a garbage collection.
        pending._when_done(lambda: outstanding.pop(key, None))

    def _fetch_value(self, engine_id: int, number: int, made: str) -> Any:
        """The object of a command's last expression, from the same start of the engine."""
        names = [f"_{number}"]
        content = {"names": names, "number": number, "made": made}
        header = {"operation": "pull", "content": content, "label": f"value({number})"}
        decode = {"kind": "pull", "names": names, "method": "pull"}
        gone = f"the value of In [{number}] on engine {engine_id} is gone:"
        try:
            return self._run(header, [], decode, targets=[engine_id], blocks=True, timeout=None)[0]
        except InvalidEngineID as error:
            raise ValueGone(f"{gone} {error}") from None
        except CompositeError as error:
            if type(error.exceptions[0]) is not LookupError:
                raise
            reason = error.exceptions[0]
        raise ValueGone(f"{gone} {reason}; a variable keeps it (x = ...; mec['x'])")


def settle(pending: PendingResult[Any], interrupt: KeyboardInterrupt) -> None:
    """Stop the work of a call that Ctrl-C has ended, once, and add a note to the exception."""
    if hasattr(interrupt, "pending_result"):
        return
    interrupt.pending_result = pending  # type: ignore[attr-defined]
    engines = pending._settle_after_interrupt()
    where = ", ".join(map(str, engines)) or "none (they had not begun this call, or had ended it)"
    interrupt.add_note(f"engines interrupted: {where}; sys.last_value.pending_result has what came")
    progress = None if pending.done() else pending._ask_progress(where=True)
    if progress is not None and progress.get("left"):
        interrupt.add_note(progress.get("unheeded") or f"not stopped yet: {progress['left']}")


def _find(address: Address) -> tuple[connection_file.FleetFile, str]:
    """The connection file and the URL for an address."""
    if address is None:
        fleet = connection_file.find_default()
    elif isinstance(address, tuple):
        host, port = address
        fleet = connection_file.find_by_address(host, port)
        assert fleet.tcp is not None
        _check_version(fleet)
        return fleet, fleet.tcp
    elif isinstance(address, str | os.PathLike):
        fleet = connection_file.read(address)
    else:
        raise TypeError(
            f"an address is a fleet's name, (host, port) or a path, not {type(address).__name__}"
        )
    _check_version(fleet)
    ipc = fleet.ipc
    if ipc is not None and fleet.tcp is not None:
        if not os.path.exists(ipc.removeprefix("ipc://")):
            ipc = None  # somebody has deleted it, or the file was copied to another machine
        elif fleet.host not in ("", platform.node()) and not is_loopback(fleet.tcp):
            ipc = None  # a directory that machines share: they see the socket, and cannot use it
    url = ipc or fleet.tcp
    if url is None:
        raise FleetNotFound(
            f"the fleet {fleet.name!r} takes no clients: it is embedded in pid {fleet.pid}"
        )
    return fleet, url


def _check_version(fleet: connection_file.FleetFile) -> None:
    """Refuse a fleet of another protocol before anything is said to it, in clear words."""
    there = versions.Installed(fleet.kernelfleet, fleet.version)
    reason = versions.why_not(there, versions.HERE, fleet.name)
    if reason is not None:
        raise ControllerUnreachable(reason)
