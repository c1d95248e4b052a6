"""The registry of engines: starting, readiness, death, restart, and the end of the fleet.

It knows the processes and the messages of their life; ``engines/engine.py`` does the work.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from functools import partial
from logging import Logger
from pathlib import Path
from typing import Any

import zmq
from jupyter_client.session import Session

from kernelfleet.controller.comms.router import CommRouter
from kernelfleet.controller.engines.channels import KernelChannels
from kernelfleet.controller.engines.engine import Engine
from kernelfleet.controller.engines.in_flight import InFlight, Outcome
from kernelfleet.controller.engines.interrupting import interrupt
from kernelfleet.controller.engines.state import EngineState
from kernelfleet.controller.lifecycle import scaling
from kernelfleet.controller.lifecycle.blas_threads import thread_environment
from kernelfleet.controller.lifecycle.death import find_out, start_again
from kernelfleet.controller.lifecycle.ids import free_ids
from kernelfleet.controller.lifecycle.incarnation import Incarnation
from kernelfleet.controller.lifecycle.kernelspecs import PLAIN_TCP, about_the_trial
from kernelfleet.controller.lifecycle.launcher import Launcher
from kernelfleet.controller.lifecycle.listener import Listener
from kernelfleet.controller.lifecycle.sizes import Sizes
from kernelfleet.controller.lifecycle.startup import logged, start_up, tell_size, why_it_failed
from kernelfleet.controller.limits import allow_engines
from kernelfleet.controller.logs import engine_log
from kernelfleet.controller.options import FleetOptions
from kernelfleet.controller.timing import LAST_MESSAGES_SECONDS, START_TIMEOUT
from kernelfleet.errors.tree import StartError
from kernelfleet.wire.jupyter import KernelMessage

#: How many processes are started at the same time; with more, each start only takes longer.
STARTS_AT_ONCE = 2 * (os.cpu_count() or 1)


class EngineRegistry:
    """All engines, by id. Every method runs on the controller's loop."""

    def __init__(
        self,
        context: zmq.Context[Any],
        session: Session,
        launcher: Launcher,
        logs: Path,
        log: Logger,
        options: FleetOptions,
    ) -> None:
        self.engines: dict[int, Engine] = {}
        self._loop = asyncio.get_running_loop()
        self._context, self._session, self._launcher = context, session, launcher
        self.logs, self._log = logs, log
        self._options, self.comms, self.worlds = options, CommRouter(), launcher.worlds
        self._listeners: list[Listener] = [self.comms]
        self._channels = KernelChannels(self._loop, context, session, self._route, log)
        self._by_session: dict[str, Engine] = {}
        # The ranks of an MPI world wait for each other while they start.
        self._gate = asyncio.Semaphore(STARTS_AT_ONCE if self.worlds is None else 1 << 20)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._starts: set[asyncio.Task[None]] = set()
        self._deaths: set[asyncio.Task[None]] = set()
        self.sizes = Sizes()

    # -- who is there ---------------------------------------------------------------------------

    @property
    def ids(self) -> list[int]:
        """Ids of the registered engines, ascending."""
        return sorted(engine.id for engine in self.engines.values() if engine.registered)

    @property
    def dead(self) -> dict[int, str]:
        """How each dead engine died; its id stays reserved."""
        return {e.id: e.death for e in self.engines.values() if e.state is EngineState.DEAD}

    @property
    def is_world(self) -> bool:
        """Whether the engines are the ranks of an MPI world."""
        return self.worlds is not None

    @property
    def fixed_size(self) -> int | None:
        """How many engines there have to be; None if there may be any number."""
        fixed = self._options.mpi or self._options.ranks is not None
        return len(self._options.kernels) if fixed else None

    def subscribe(self, listener: Listener) -> None:
        """Notify a listener of what happens to engines."""
        self._listeners.append(listener)

    def find(self, engine_id: int) -> Engine | None:
        """The registered engine of this id."""
        engine = self.engines.get(engine_id)
        return engine if engine is not None and engine.registered else None

    # -- starting -------------------------------------------------------------------------------

    async def add(self, kernels: Sequence[str | None], ids: Iterable[int] | None = None) -> None:
        """Start an engine per kernel name (None is our own), with the lowest free ids or these.

        Raises:
            StartError: one did not start; those that did are ended again.
        """
        allow_engines(len(kernels))
        ids = free_ids(self.engines, len(kernels)) if ids is None else ids
        shared = self._session, self._log, self._finished
        new = [Engine(i, kernel, *shared) for i, kernel in zip(ids, kernels, strict=True)]
        for engine in new:
            engine.comms = self.comms.of_engine(engine.id)
            self.engines[engine.id] = engine
        self.sizes.number((engine.id for engine in new), self.engines)
        failures = [each for each in await self._start_all(new, or_none=True) if each is not None]
        if failures:  # one failed, and the others were cancelled because of it
            await self.remove(new)
            raise next((e for e in failures if isinstance(e, Exception)), failures[0])
        self._changed()

    async def scale(self, n: int, kernel_name: str | None) -> None:
        """Have ``n`` engines: start some, or end those of the highest ids when they are drained."""
        await scaling.scale(self, n, kernel_name)

    def unsettled(self) -> list[asyncio.Future[Any]]:
        """What changes how many engines there are: starts, restarts, deaths."""
        restarts = [e.restarting for e in self.engines.values() if e.restarting]
        return [*self._starts, *restarts, *self._deaths]

    def is_ending(self, engine: Engine) -> bool:
        """Whether the process of an engine ends, though it may not be known yet."""
        return engine.incarnation is not None and self._launcher.is_ending(engine.incarnation)

    async def leave(self, leaving: Iterable[Engine]) -> None:
        """End engines when they have done what they were given; they get nothing new."""
        leaving = list(leaving)
        for engine in leaving:
            engine.move_to(EngineState.LEAVING)
        self._changed()
        await asyncio.gather(*(engine.drained() for engine in leaving))
        going = (EngineState.LEAVING, EngineState.DEAD)
        await self.remove([each for each in leaving if each.state in going])

    async def restart(self, engines: Iterable[Engine]) -> None:
        """End engines that live, and start all of them afresh under their ids.

        An engine that is already being restarted for somebody else is only waited for.

        Raises:
            StartError: one did not come up; it is dead, and its process ended.
        """
        engines = list(engines)
        ours = [engine for engine in engines if engine.restarting is None]
        for engine in ours:
            engine.restarting = self._loop.create_future()
            engine.retire()  # at once, so that nobody else begins to end it
        if ours:
            self._spawn(self._restart(ours))
        restarts = [asyncio.shield(e.restarting) for e in engines if e.restarting is not None]
        for outcome in await asyncio.gather(*restarts, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _restart(self, engines: list[Engine]) -> None:
        outcomes: list[BaseException | None] = [asyncio.CancelledError()] * len(engines)
        try:
            await self._end(engines, EngineState.STARTING, "EngineDied", "it was restarted")
            self._changed()
            outcomes = await self._start_all(engines)
            await self._end_a_broken_world(engines, outcomes)
            for engine, outcome in zip(engines, outcomes, strict=True):
                if isinstance(outcome, BaseException):
                    engine.detach(
                        EngineState.DEAD, "EngineDied", f"it could not be restarted: {outcome}"
                    )
                else:
                    assert engine.incarnation is not None
                    pid = engine.incarnation.pid
                    self._log.info("engine %d was restarted, its pid is %s", engine.id, pid)
                    for listener in self._listeners:
                        listener.engine_restarted(engine)
            self._changed()
        finally:
            for engine, outcome in zip(engines, outcomes, strict=True):
                engine.restarted(outcome)

    async def _end_a_broken_world(
        self, engines: list[Engine], outcomes: list[BaseException | None]
    ) -> None:
        """End the ranks that came up if another one did not, and give them its error."""
        failures = [each for each in outcomes if each is not None]
        if self.is_world and failures:
            first = next((each for each in failures if isinstance(each, StartError)), failures[0])
            await self._end(
                engines, EngineState.DEAD, "EngineDied", "its MPI world did not come up"
            )
            outcomes[:] = [first] * len(engines)

    async def _start_all(
        self, engines: Iterable[Engine], *, or_none: bool = False
    ) -> list[BaseException | None]:
        """Start engines concurrently; returns None or the error of each.

        With ``or_none`` the first failure cancels the others, which might take a minute to fail.
        """
        engines = list(engines)
        if self._options.ranks is not None and len(engines) == len(self.engines):
            self._options.ranks.renew()
        if self.worlds is not None:
            self.worlds.begin(len(engines))
            or_none = True
        tasks = [self._loop.create_task(self._start(engine)) for engine in engines]
        for task in tasks:
            self._starts.add(task)
            task.add_done_callback(self._starts.discard)
        if or_none and tasks:
            done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            if any(task.cancelled() or task.exception() is not None for task in done):
                for task in others:
                    task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    async def _start(self, engine: Engine) -> None:
        async with self._gate:
            count = max(1, len(self.engines))
            wanted = self._options.environment(engine.id)
            wanted = {**thread_environment(count, wanted), **wanted}
            incarnation = await self._launcher.start(
                engine.id,
                engine.kernel_name,
                environment={name: text for name, text in wanted.items() if text is not None},
                cwd=self._options.cwd,
            )
            channels = self._channels if incarnation.native else self._own_channels(engine)
            if incarnation.native:
                self._by_session[incarnation.session_id] = engine
            engine.attach(incarnation, channels)
            over = partial(self._died, engine, incarnation)
            self._launcher.watch(incarnation, self._loop, lambda: self._spawn(over(), self._deaths))
            try:
                identity = self.sizes.identity(engine.id, self.engines, len(self.engines))
                starting = start_up(engine, identity, self._options.on_start)
                await asyncio.wait_for(starting, START_TIMEOUT)
            except BaseException as error:
                await self._abandon(engine, incarnation)
                if not isinstance(error, TimeoutError | ConnectionError):
                    raise
                log = engine_log(self.logs, engine.id)
                trial = about_the_trial(incarnation.kernel_name) if incarnation.ipc_on_trial else ""
                raise StartError(why_it_failed(engine, error, START_TIMEOUT, log, trial)) from None
            self._launcher.close_to_others(incarnation)
            if incarnation.transport == "tcp":
                self._log.warning(PLAIN_TCP, engine.id, incarnation.kernel_name)
        engine.ready()

    def _own_channels(self, engine: Engine) -> KernelChannels:
        """Channels for a foreign kernel; in a daemon its output is also written to its log."""
        log = None if self._options.embedded else engine_log(self.logs, engine.id)
        route = engine.take if log is None else logged(engine.take, log)
        return KernelChannels(self._loop, self._context, self._session, route, self._log)

    async def _abandon(self, engine: Engine, incarnation: Incarnation) -> None:
        """End the process of an engine that did not come up."""
        if engine.incarnation is not incarnation:
            return  # it has ended by itself, and that was dealt with
        incarnation.leaving = True
        self._by_session.pop(incarnation.session_id, None)
        await self._launcher.end_now(incarnation)
        channels = engine.channels
        engine.detach(EngineState.DEAD, "EngineDied", "it did not come up")
        self._release(engine, channels)

    # -- ending ---------------------------------------------------------------------------------

    async def remove(
        self, engines: Iterable[Engine], why: str = "it was killed by a client"
    ) -> None:
        """End engines and free their ids."""
        await self._end(engines := list(engines), EngineState.STOPPING, "EngineDied", why)
        for engine in engines:
            self.engines.pop(engine.id, None)
        self._changed()

    async def _end(self, engines: list[Engine], state: EngineState, ename: str, cause: str) -> None:
        living = {e.incarnation.session_id: e for e in engines if e.incarnation is not None}
        incarnations = [e.incarnation for e in living.values() if e.incarnation is not None]
        for engine in engines:
            engine.retire()
            engine.close_packets()  # the error of a command that this ends is not the command's own
        for incarnation in incarnations:
            incarnation.leaving = True
            self._by_session.pop(incarnation.session_id, None)

        def ask(incarnation: Incarnation) -> None:
            living[incarnation.session_id].tell("control", "shutdown_request", {"restart": False})

        await self._launcher.stop(incarnations, ask)
        for engine in engines:
            channels = engine.channels
            engine.detach(state, ename, cause)
            self._release(engine, channels)

    def _release(self, engine: Engine, channels: KernelChannels | None) -> None:
        if channels is not None and channels is not self._channels:
            channels.close()
            engine.channels = None

    async def _died(self, engine: Engine, incarnation: Incarnation) -> None:
        """A process has ended unasked: fail its work with the cause, and keep its id."""
        if engine.incarnation is not incarnation or incarnation.leaving:
            return
        # The pidfd fires before ZMQ has read the last replies of the process.
        await asyncio.sleep(LAST_MESSAGES_SECONDS)
        if engine.channels is not None:
            await engine.channels.drain()
        death = await find_out(self._launcher, incarnation, self.logs)
        if engine.incarnation is not incarnation:
            return
        self._by_session.pop(incarnation.session_id, None)
        self._log.error("engine %d (pid %s) died: %s", engine.id, incarnation.pid, death.cause)
        channels = engine.channels
        is_wanted = engine.state not in (EngineState.STARTING, EngineState.LEAVING)
        # Clients learn it first: get_ids() must not include it when a call raises EngineDied.
        engine.move_to(EngineState.DEAD, death.cause)
        if is_wanted:
            self._changed()
        engine.detach(
            EngineState.DEAD,
            "EngineDied",
            death.cause,
            exit_code=death.exit_code,
            signal=death.signal,
        )
        self._release(engine, channels)
        self._spawn(self._launcher.end_descendants(incarnation))
        if self._options.restart == "on-death" and is_wanted:
            together = list(self.engines.values()) if self.is_world else [engine]
            # The last one of a world to be found dead has all of them started again.
            if all(each.state is EngineState.DEAD for each in together):
                await start_again(together, self, self._changed, self._log)

    async def stop(self) -> None:
        """End every engine and close the sockets."""
        starts = list(self._starts)
        for task in [*self._tasks, *starts]:
            task.cancel()
        if starts:  # one may have a process already that is not attached to its engine yet
            await asyncio.wait(starts)
        living = [*self.engines.values()]
        await self._end(living, EngineState.STOPPING, "FleetStopped", "the fleet was stopped")
        if self.worlds is not None:
            await self.worlds.end()
        self.engines.clear()
        self._channels.close()

    # -- messages -------------------------------------------------------------------------------

    def _route(self, channel: str, message: KernelMessage) -> None:
        """Hand a message to its engine: the replies to a broadcast differ only in their session."""
        engine = self._by_session.get(message.session)
        if engine is not None:
            engine.take(channel, message)

    def find_by_tag(self, tag: str) -> Engine | None:
        """The engine whose present process has this process tag, which is also its session."""
        return self._by_session.get(tag)

    def recount(self, fleet_size: int) -> None:
        """Take the number of engines on all nodes, of which these are only some."""
        self.sizes.whole = fleet_size
        self._changed()

    def _changed(self) -> None:
        """Tell engines and clients which engines there are now."""
        size = len(self.ids)
        for engine in self.engines.values():
            if engine.registered:
                tell_size(engine, self.sizes.identity(engine.id, self.engines, size))
        for listener in self._listeners:
            listener.engines_changed()

    def _finished(self, engine: Engine, run: InFlight, outcome: Outcome) -> None:
        for listener in self._listeners:
            listener.engine_finished(engine, run, outcome)

    def _spawn(self, coroutine: Any, *kinds: set[asyncio.Task[None]]) -> None:
        task = self._loop.create_task(coroutine)
        for among in (self._tasks, *kinds):
            among.add(task)
            task.add_done_callback(among.discard)

    async def interrupt(self, engine: Engine, run: InFlight | None) -> None:
        """Interrupt this request of an engine; does nothing if it has ended meanwhile."""
        await interrupt(engine, run, self._launcher, self._spawn)
