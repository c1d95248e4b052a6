"""Replies of kernels, checked: kernels run the user's code, and may be broken or of any make.

A reply of our own kernels must have its declared form; one that has not becomes an error that says
so. Other kernels leave fields out or give them other types, which is tolerated and filled in.
``InFlight`` reads nothing that has not been checked here; outputs are not read in the controller at
all (``wire/outputs.py``).

Pure: no sockets, no clock.
"""

from __future__ import annotations

from kernelfleet.wire.fields import fields_of, is_int
from kernelfleet.wire.messages import JsonDict
from kernelfleet.wire.messages.kernel import KernelReply

#: What our own kernels put into a reply, and its form.
FORMS = fields_of(KernelReply)


def broken(text: str) -> JsonDict:
    """The error of a reply that cannot be used."""
    return {"ename": "EngineError", "evalue": text, "traceback": [], "kind": "engine"}


def unsound_field(content: JsonDict) -> str | None:
    """The first field of a reply of our own kernels that is not as declared; None if all are."""
    for name, field in FORMS.items():
        if name in content or field.required:
            value = content.get(name)
            if type(value) is not field.check.of and not field.check.fits(value):
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
    return number if is_int(number) else None


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
