from __future__ import annotations

from typing import Any

from kernelfleet.controller.engines.encoding import encoded
from kernelfleet.controller.requests import Request
from kernelfleet.controller.told_imports import Imports
from kernelfleet.wire.jupyter import make_session
from kernelfleet.wire.operations import OPERATIONS

SESSION = make_session(b"key", "controller")


def request_of(verb: str = "execute", targets: tuple[int, ...] = (0, 1), **fields: Any) -> Request:
    return Request(
        "client", "id", OPERATIONS[verb], list(targets), {"code": "1"}, verb, [],
        [0] * len(targets), lambda _: None, **fields,
    )  # fmt: skip


def encode(request: Request, index: int, told: set[str], language: str | None = None) -> Any:
    job = request.jobs()[index]
    return encoded(job, SESSION, language=language, shares_memory=False, told_imports=told)


def test_engines_that_get_the_same_share_one_message() -> None:
    request = request_of()
    assert encode(request, 0, set()) is encode(request, 1, set())
    assert len(request.encoded) == 1


def test_an_engine_that_is_named_twice_gets_two_message_ids() -> None:
    request = request_of(targets=(0, 0))
    assert encode(request, 0, set())[0] != encode(request, 1, set())[0]


def test_another_language_and_another_kernel_get_messages_of_their_own() -> None:
    request = request_of(targets=(0, 1, 2))
    encode(request, 0, set())
    encode(request, 1, set(), "python")
    encode(request, 2, set(), "bash")
    assert len(request.encoded) == 3


def test_an_engine_is_told_what_a_client_can_import_once() -> None:
    imports = Imports("name", "text")
    told: set[str] = set()
    encode(request_of(imports=imports), 0, told)
    assert told == {"name"}
    again = request_of(imports=imports)
    encode(again, 0, told)
    assert [key.tells_imports for key in again.encoded] == [False]


def test_a_cell_of_a_kernel_that_is_not_ours_tells_it_nothing() -> None:
    told: set[str] = set()
    encode(request_of(imports=Imports("name", "text")), 0, told, "python")
    assert told == set()
