"""A request as the message to one engine: encoded once for all engines that get the same bytes."""

from __future__ import annotations

from typing import Any

from jupyter_client.session import Session

from kernelfleet.controller.engines.in_flight import encode_native, encode_portable
from kernelfleet.controller.requests import EncodingKey, Job
from kernelfleet.wire.buffers.frames import to_frames


def encoded(
    job: Job,
    session: Session,
    *,
    language: str | None,
    shares_memory: bool,
    told_imports: set[str],
) -> tuple[str, list[Any]]:
    """The id and the signed frames of a job's message.

    Args:
        job: What an engine is to do.
        session: Signs for the kernels of this fleet.
        language: Of a kernel that is not kernelfleet's own; None for one that is.
        shares_memory: Whether the engine can map the controller's shared memory.
        told_imports: Names of what clients can import that this engine has been told; it is
            brought up to date.

    Raises:
        OSError: there is no memory left to map a shared buffer.
        ValueError: it cannot be encoded.
    """
    request = job.request
    key = EncodingKey(
        language=language,
        shares_memory=shares_memory,
        payload=request.assign[job.index],
        turn=job.turn,
        tells_imports=request.imports is not None and request.imports.name not in told_imports,
    )
    if key not in request.encoded:
        if language is None:
            msg_id, frames = encode_native(session, request, tell_imports=key.tells_imports)
            frames = [*frames, *to_frames(job.payload, shared=shares_memory)]
        else:
            msg_id, frames = encode_portable(
                session, request, job.payload, language, tell_imports=key.tells_imports
            )
        request.encoded[key] = msg_id, frames
    if request.imports is not None:
        is_cell = language is not None and request.operation.name == "execute"
        if language is not None and not is_cell:
            told_imports.clear()  # such a kernel keeps the latest only
        if not is_cell:  # a plain cell cannot carry them
            told_imports.add(request.imports.name)
    return request.encoded[key]
