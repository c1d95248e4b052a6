"""The function that runs on a Dask worker, and starts a node beside it.

It travels as code, so it may use nothing of this package: an installation that is missing or of
another version is what it finds out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kernelfleet.wire.messages import JsonDict

#: What is installed there, as an expression that any version of Python understands.
INSTALLATION = """
(lambda module: {
    "host": module("platform").node(),
    "executable": module("sys").executable,
    "python": module("platform").python_version(),
    "kernelfleet": (
        getattr(module("kernelfleet"), "__version__", "unknown")
        if module("importlib.util").find_spec("kernelfleet") else None
    ),
})(__import__("importlib").import_module)
""".strip()


def starter() -> Callable[..., Any]:
    """The function; it is made in a function, so that cloudpickle sends it by its code."""

    async def start(spec: JsonDict, topic: str, seconds: float, dask_worker: Any) -> JsonDict:
        import asyncio
        import json
        import sys
        import tempfile

        from distributed import WorkerPlugin
        from distributed.comm import get_address_host

        spec = {**spec, "host": spec["host"] or get_address_host(dask_worker.address)}
        with tempfile.TemporaryFile() as stderr:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "kernelfleet.node"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
                limit=2**24,
            )
            assert process.stdin is not None
            assert process.stdout is not None
            stdin = process.stdin
            try:
                stdin.write(json.dumps(spec).encode() + b"\n")
                line = await asyncio.wait_for(process.stdout.readline(), seconds)
                report = json.loads(line)
            except Exception as error:  # noqa: BLE001 (told)
                if process.returncode is None:
                    process.kill()
                code = await process.wait()
                stderr.seek(0)
                text = stderr.read().decode(errors="replace").strip()
                return {"report": None, "said": text or f"it has ended with code {code} ({error})"}

        class EndNode(WorkerPlugin):  # type: ignore[misc] # of Dask's, which has no types
            """Ends the node politely when the worker is closed.

            Not when the worker closes itself as it has lost its scheduler: the head may live on.
            """

            async def teardown(self, worker: Any) -> None:
                comm = getattr(worker.batched_stream, "comm", None)
                if comm is None or comm.closed() or process.returncode is not None:
                    return
                stdin.write(json.dumps({"end": "its Dask worker was closed"}).encode())
                await asyncio.wait([ended], timeout=3)

        async def tell_end() -> None:
            code = await process.wait()
            dask_worker.log_event(topic, {"worker": dask_worker.address, "code": code})

        ended = asyncio.ensure_future(tell_end())
        await dask_worker.plugin_add(EndNode(), name=spec["name"])
        return {"report": report, "said": ""}

    return start
