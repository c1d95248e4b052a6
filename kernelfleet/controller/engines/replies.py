"""What kernels say, made sound: they run the user's code, and may be broken or of any make.

Our own kernels' replies are held to their form, and one that breaks it becomes an error that says
so. Other kernels take liberties that hurt nobody; what they leave out is filled in. Everything
that ``InFlight`` reads has passed here; outputs are not read here at all (``wire/outputs.py``).

Pure: no sockets, no clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from kernelfleet.wire.messages import JsonDict

#: More iopub messages than any command has published.
MAX_IOPUB = 2**53

TEXT_FIELDS = ("ename", "evalue", "kind", "translated", "made")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_time(value: object) -> bool:
    return (_is_int(value) or isinstance(value, float)) and 0 <= value < math.inf  # type: ignore[operator]


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


#: What our own kernels put into a reply, and its form.
FORMS: Mapping[str, Callable[[object], bool]] = {
    "status": lambda value: value in ("ok", "error", "aborted", "abort"),
    "n_iopub": lambda value: _is_int(value) and 0 <= value <= MAX_IOPUB,  # type: ignore[operator]
    "number": lambda value: value is None or _is_int(value),
    "exiting": lambda value: isinstance(value, bool),
    "started": _is_time,
    "completed": _is_time,
    "keys": _are_texts,
    "traceback": _are_texts,
    "name": lambda value: value is None or isinstance(value, str),
    **{name: lambda value: isinstance(value, str) for name in TEXT_FIELDS},
}


def broken(text: str) -> JsonDict:
    """The error of a reply that cannot be used."""
    return {"ename": "EngineError", "evalue": text, "traceback": [], "kind": "engine"}


def unsound_field(content: JsonDict) -> str | None:
    """The first field of one of our own kernels' replies that has not its form; None if all do."""
    for name, fits in FORMS.items():
        if (name in content or name == "status") and not fits(content.get(name)):
            return name
    return None


def asks_exit(content: JsonDict) -> bool:
    """Whether the cell asked its kernel to exit, in our words or in ipykernel's."""
    payloads = content.get("payload")
    return content.get("exiting") is True or any(
        payload.get("source") == "ask_exit" and not payload.get("keepkernel")
        for payload in (payloads if isinstance(payloads, list) else ())
        if isinstance(payload, dict)
    )


def number_of(content: JsonDict) -> int | None:
    """The number of an ``execute_reply``, if it has one."""
    number = content.get("execution_count")
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def error_of(content: JsonDict) -> JsonDict:
    """Name, text and traceback of an error, whatever the kernel made of them."""
    lines = content.get("traceback")
    return {
        "ename": _text(content.get("ename")),
        "evalue": _text(content.get("evalue")),
        "traceback": [_text(line) for line in lines] if isinstance(lines, list) else [],
        "kind": "user",
    }


def _text(value: object) -> str:
    return "" if value is None else str(value)
