"""Much at once: clients, requests, output; nothing is lost and order is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from kernelfleet import MultiEngineClient
from kernelfleet.errors import CompositeError
from tests.gate import Gate

Connect = Callable[[], MultiEngineClient]


def test_several_clients_at_once_each_get_their_own_results(
    connect: Connect, mec: MultiEngineClient
) -> None:
    problems: list[object] = []

    def work(number: int) -> None:
        try:
            client = connect()
            for i in range(30):
                value = f"{number}-{i}"
                client.push({f"x{number}": value})
                assert client.pull(f"x{number}") == [value] * 4
                assert client.execute(f"print(x{number})").stdout == [value + "\n"] * 4
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=[number]) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert not problems
    assert sorted(mec.keys(targets=0)[0]) == [f"x{number}" for number in range(5)]


def test_a_thousand_requests_without_waiting_arrive_in_order(mec: MultiEngineClient) -> None:
    mec.execute("seen = []", targets=0)
    pendings = [mec.execute(f"seen.append({i})", targets=0, block=False) for i in range(1000)]
    mec.barrier(pendings, timeout=60)
    assert [each.result()[0]["number"] for each in pendings] == list(range(2, 1002))
    assert mec.pull("seen", targets=0) == [list(range(1000))]


def test_a_hundred_thousand_lines_of_four_engines_are_complete_and_in_order(
    mec: MultiEngineClient,
) -> None:
    results = mec.execute("for i in range(25_000): print(engine_id, i)", timeout=90)
    for engine_id, result in enumerate(results):
        assert result.stdout == "".join(f"{engine_id} {i}\n" for i in range(25_000))


def test_live_output_is_complete_and_in_order(mec: MultiEngineClient) -> None:
    seen: dict[int, list[str]] = {i: [] for i in range(4)}

    def on_output(engine_id: int, _: str, content: dict[str, str]) -> None:
        seen[engine_id].append(content["text"])

    mec.execute("for i in range(2_000): print(i, flush=True)", timeout=60, on_output=on_output)
    expected = "".join(f"{i}\n" for i in range(2_000))
    assert {i: "".join(pieces) for i, pieces in seen.items()} == dict.fromkeys(range(4), expected)


@pytest.mark.parametrize("when", ["before the client left", "afterwards"])
def test_another_client_picks_up_what_one_that_left_asked_for(
    connect: Connect, mec: MultiEngineClient, gate: Gate, when: str
) -> None:
    leaver = connect()
    leaver.push({"x": list(range(1000))})
    pending = leaver.execute("print('for you')", block=False)
    data = leaver.pull("x", block=False)
    leaver.barrier([pending, data], timeout=20)
    ids = [pending.result_id, data.result_id]
    if when == "afterwards":
        late = leaver.execute(gate.code + "; print('late')", block=False)
        gate.entered(4)
        ids[0] = late.result_id
    leaver.close()
    found = [mec.pending_result(result_id) for result_id in ids]
    gate.open()
    assert (
        found[0].result(20).stdout == [("late" if when == "afterwards" else "for you") + "\n"] * 4
    )
    assert found[1].result(20) == [list(range(1000))] * 4


def test_an_error_of_one_client_leaves_the_others_queue_alone(
    connect: Connect, mec: MultiEngineClient, gate: Gate
) -> None:
    other = connect()
    first = mec.execute(gate.code + "; 1/0", targets=0, block=False)
    gate.entered()
    mine = mec.execute("1", targets=0, block=False)
    theirs = other.execute("2", targets=0, block=False)
    gate.open()
    for pending in (first, mine):
        with pytest.raises(CompositeError):
            pending.result(20)
    assert theirs.result(20).values() == [2]
