"""The tables of docs/protocol.md, made from what the package declares.

``python -m tests.protocol_page`` writes them into the page; tests/wire/test_operations.py checks
that the page has them.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from pathlib import Path

from kernelfleet.wire.fields import fields_of
from kernelfleet.wire.messages import kernel, nodes, replies, requests, session
from kernelfleet.wire.operations import KERNEL_OPERATIONS, OPERATIONS, message_type

PAGE = Path(__file__).parents[1] / "docs" / "protocol.md"

#: By type: who sends it, its declaration, and what it is for where that says too little.
SESSION: dict[str, tuple[str, type, str]] = {
    "hello": ("client", session.Hello, ""),
    "refused": ("controller", session.VersionRefused, ""),
    "challenge": ("controller", session.Challenge, ""),
    "open": ("client", session.Open, ""),
    "welcome": ("controller", session.Welcome, ""),
    "ping": ("client", session.Ping, ""),
    "pong": ("controller", session.Pong, ""),
    "ack": ("client", session.Plain, "So much was received, when nothing else is to be said."),
    "resend": ("client", session.Plain, "A number is missing: send again what came after `ack`."),
    "void": ("client", session.Void, ""),
    "part": ("both", session.Part, ""),
    "more": ("both", session.More, ""),
    "bye": ("client", session.Plain, "The client leaves: its session ends."),
    "forgotten": ("controller", session.Plain, "That session is not known any more."),
}
REPLIES: dict[str, type] = {
    "reply": replies.Reply,
    "one of its `results`": replies.TargetResult,
    "one of the `spans` of a timeline": replies.SpanRow,
    "`error` of a result": replies.ErrorInfo,
    "`refused` of a reply": replies.Refusal,
    "`describe` of a reply": replies.Description,
    "event `output`": replies.OutputEvent,
    "event `followed`": replies.FollowedEvent,
    "event `roster`": replies.EnginesEvent,
    "event `world`": replies.WorldEvent,
    "events `stopping`, `stopped`": replies.EndEvent,
}

NODES: dict[str, type] = {
    "to the node, first": nodes.NodeSpec,
    "from the node": nodes.NodeReport,
    "to the node, later": nodes.EndOfNode,
}

KERNELS = {
    "none": "",
    "own": "own engines",
    "functions": "Python, with our modules",
    "python": "Python",
    "any": "any",
}
PASSES = {"none": "", "engines": "what is for other engines", "all": "everything"}


def fields(message: type, without: Iterable[str] = ("type",)) -> str:
    """The fields of a message; what may be missing is in brackets."""
    told = []
    for name, field in fields_of(message).items():
        if name not in without:
            text = f"`{name}`: {field.check.words}"
            told.append(text if field.required else f"[{text}]")
    return "; ".join(told)


def summary(message: type) -> str:
    """What a message is for."""
    return " ".join((inspect.getdoc(message) or "").split("\n\n")[0].split()).replace("``", "`")


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of Markdown."""
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def tables() -> dict[str, str]:
    """By the name of its place in the page."""
    common = set(fields_of(requests.RequestFields))
    operations = OPERATIONS.values()
    return {
        "session": table(
            ["type", "from", "fields", "what it says"],
            (
                [f"`{name}`", sender, fields(message), text or summary(message)]
                for name, (sender, message, text) in SESSION.items()
            ),
        ),
        "queued": table(
            ["operation", "content", "kernels", "what it does"],
            (
                [f"`{each.name}`", fields(each.content, ("imports", "imports_text")),
                 KERNELS[each.kernels], each.summary]
                for each in operations if each.queued
            ),
        ),
        "every request": fields(requests.RequestFields),
        "every queued request": fields(requests.QueuedRequest, common),
        "at once": table(
            ["operation", "fields", "kernels", "passes", "what it does"],
            (
                [f"`{each.name}`", fields(each.request, common), KERNELS[each.kernels],
                 PASSES[each.passes], each.summary]
                for each in operations if not each.queued and not each.of_a_head
            ),
        ),
        "of a head": table(
            ["operation", "fields", "what it does"],
            (
                [f"`{each.name}`", fields(each.request, common), each.summary]
                for each in operations if each.of_a_head
            ),
        ),
        "nodes": table(
            ["line", "fields", "what it says"],
            (
                [name, fields(message), summary(message)]
                for name, message in NODES.items()
            ),
        ),
        "rules": table(
            ["rule", "operations"],
            [
                ["its failure clears what its client has queued behind it",
                 names(each.name for each in operations if each.clears_queue)],
                ["a failure before it does not clear it",
                 names(each.name for each in operations if each.independent)],
                ["it is cancelled when its client leaves, and nobody else gets its result",
                 names(each.name for each in operations if each.ends_with_client)],
                ["the engine must be able to import what the client can",
                 names(each.name for each in operations if each.needs_imports)],
            ],
        ),
        "replies": table(
            ["message", "fields", "what it says"],
            (
                [name if "`" in name else f"`{name}`", fields(message), summary(message)]
                for name, message in REPLIES.items()
            ),
        ),
        "kernel": table(
            ["message type", "channels", "portable", "content", "what it asks"],
            (
                [f"`{message_type(each.name)}`" if each.channels else f"(`{each.name}`)",
                 ", ".join(each.channels), "yes" if each.portable else "",
                 fields(each.content, ("imports", "imports_text")),
                 each.summary if each.answered else f"{each.summary} No reply."]
                for each in KERNEL_OPERATIONS.values()
            ),
        ),
        "kernel reply": fields(kernel.KernelReply),
    }  # fmt: skip


def names(words: Iterable[str]) -> str:
    """Words in the font of code."""
    return ", ".join(f"`{word}`" for word in words)


def filled(page: str) -> str:
    """The page, with each place between two marks filled anew."""
    made = tables()

    def fill(match: re.Match[str]) -> str:
        return f"<!-- {match[1]} -->\n{made[match[1]]}\n<!-- end -->"

    return re.sub(r"<!-- ([\w ]+) -->\n(?:.*?\n)??<!-- end -->", fill, page, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
