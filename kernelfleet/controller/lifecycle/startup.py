"""Starting up a kernel: wait until it answers and its output reaches us, run ``on_start``."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from kernelfleet import __version__
from kernelfleet.controller.engines import packets
from kernelfleet.controller.engines.bootstrap import bootstrap_request, expressions
from kernelfleet.controller.engines.engine import Engine
from kernelfleet.controller.engines.in_flight import answered
from kernelfleet.controller.limits import meaning
from kernelfleet.controller.logs import add_output, last_life
from kernelfleet.errors.tree import StartError
from kernelfleet.wire.buffers.shared_memory import Probe
from kernelfleet.wire.files.private_files import open_any
from kernelfleet.wire.jupyter import KernelMessage
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.operations import message_type
from kernelfleet.wire.platforms import HERE

#: How long to wait for a message on iopub before the kernel is asked for one again.
HEARING_SECONDS = 0.1
#: What a Python kernel of any environment reports about itself.
FACTS = ("python", "executable", "host", "no_functions")
#: The error if the installation was changed while the fleet runs: new engines load other modules.
REPLACED = (
    "a new engine would run kernelfleet {there}, and this fleet runs {here}: the installation was "
    "changed meanwhile; start the fleet afresh"
)
#: How much of an engine's log an error quotes.
TAIL_CHARACTERS = 2000


async def start_up(engine: Engine, identity: JsonDict, on_start: str | None) -> None:
    """Wait until the engine answers and its output reaches us, and tell it its id.

    Raises:
        ConnectionError: it died.
        StartError: its ``on_start`` code failed, or it is of another version of kernelfleet.
    """
    if engine.native:
        probe = Probe()
        setup = {**identity, **probe.fields(), "confirms_output": True, "packets": HERE.packets}
        reply = await engine.ask("shell", message_type("setup"), setup)
        engine.info = reply.content
        if (version := reply.content.get("kernelfleet")) != __version__:
            raise StartError(REPLACED.format(there=version, here=__version__))
        engine.shares_memory = bool(reply.content.get("shares_memory"))
        if reply.content.get("packets"):
            assert engine.incarnation is not None
            engine.packets = packets.connect(
                engine.incarnation.connection_file,
                engine.session,
                engine.incarnation.identity,
                lambda message: engine.take("shell", message),
            )
        assert engine.welcome is not None
        await engine.welcome
        if on_start:
            code = {"code": on_start, "store_history": False}
            _check(await engine.ask("shell", message_type("execute"), code), "on_start")
        return
    reply = await engine.ask("shell", "kernel_info_request", {})
    while not engine.heard.is_set():
        # A kernel without iopub_welcome: what it publishes before our subscription has reached it
        # is lost. Ask until the busy and idle that belong to an answer arrive.
        await engine.ask("shell", "kernel_info_request", {})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(engine.heard.wait(), HEARING_SECONDS)
    engine.info = reply.content
    language = reply.content.get("language_info")
    engine.language = str(language.get("name")) if isinstance(language, dict) else "unknown"
    if engine.language == "python":
        request = bootstrap_request(engine.id, identity["n_engines"])
        reply = await engine.ask("shell", "execute_request", request)
        _check(reply, "bootstrap")
        _, facts = answered(reply.content.get("user_expressions"))
        engine.info.update({key: facts[key] for key in FACTS if isinstance(facts.get(key), str)})
    if on_start:
        request = {"code": on_start, "silent": True, "store_history": False}
        _check(await engine.ask("shell", "execute_request", request), "on_start")


def tell_size(engine: Engine, identity: JsonDict) -> None:
    """Tell a registered engine how many engines there are, unless it knows already."""
    if engine.info.get("identity") == identity or not (engine.native or engine.python):
        return
    engine.info["identity"] = identity
    if engine.native:
        # On control it reaches a busy engine at once; on shell it arrives before whatever is
        # asked from now on.
        engine.tell("control", message_type("identity"), identity)
        engine.tell("shell", message_type("identity"), identity)
    else:
        asked = {"code": "", "silent": True, "store_history": False}
        values = expressions("identity", identity)
        engine.tell("shell", "execute_request", {**asked, "user_expressions": values})


def logged(
    take: Callable[[str, KernelMessage], None], log: Path
) -> Callable[[str, KernelMessage], None]:
    """What takes the messages of a foreign kernel, and writes what it prints to its log as well."""

    def take_and_log(channel: str, message: KernelMessage) -> None:
        if channel == "iopub" and message.msg_type == "stream":
            text = message.content.get("text")
            if isinstance(text, str):
                add_output(log, text)
        take(channel, message)

    return take_and_log


def _check(reply: KernelMessage, what: str) -> None:
    if reply.content.get("status") != "ok":
        error = f"{reply.content.get('ename')}: {reply.content.get('evalue')}"
        raise StartError(f"{what} code failed: {error}")


def why_it_failed(
    engine: Engine, error: BaseException, seconds: float, log: Path, trial: str = ""
) -> str:
    """The error text about an engine that did not come up.

    Args:
        engine: The engine.
        error: TimeoutError, or the error that its death raised.
        seconds: How long it was given.
        log: The file with what its process has written.
        trial: A hint about a kernel that perhaps cannot use Unix sockets; empty for others.
    """
    if not isinstance(error, TimeoutError):
        cause = engine.death or str(error).removeprefix(f"engine {engine.id}: ")
        what = f"did not come up: {cause or 'it was stopped'}"
    elif engine.info:
        what = f"did not finish its on_start code within {seconds:g} s while starting"
    else:
        what = f"did not answer within {seconds:g} s while starting"
    tail = _tail(log)
    hint = f"; {trial}" if trial and not engine.info else ""
    last = f"; its last words:\n{tail}" if tail else ""
    return f"engine {engine.id} {what}{meaning(tail)}{hint}{last}"


def _tail(log: Path) -> str:
    try:
        with os.fdopen(open_any(log), errors="replace") as file:
            text = file.read()
    except OSError:
        return ""
    text = last_life(text)
    # ipykernel 7.4 begins with how to connect a console.
    _, greeted, after = text.partition("    --existing ")
    text = after.partition("\n")[2] if greeted else text
    return text[-TAIL_CHARACTERS:].strip()
