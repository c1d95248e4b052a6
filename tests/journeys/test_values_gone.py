"""What a command has made is fetched from the life that made it: an object of its own, or an error.

Another command's object, or None as if there had been none, would be silently wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from kernelfleet import Fleet, MultiEngineClient, ValueGone
from kernelfleet.results import ResultList

Lose = Callable[[MultiEngineClient], object]

LOSSES: dict[str, tuple[Lose, str]] = {
    "reset": (lambda mec: mec.reset(targets=0), "has been reset since"),
    "reset by code": (
        lambda mec: mec.execute("get_ipython().reset()", targets=0),
        "has been reset since",
    ),
    "deleted": (
        lambda mec: mec.execute("for number in list(Out): del Out[number]", targets=0),
        "Out has dropped it since, which keeps some 1000 objects",
    ),
    "restart": (lambda mec: mec.restart(0), "has been restarted since"),
    "kill": (lambda mec: mec.kill(0), "no engine 0"),
}


@pytest.fixture(scope="module", params=[None, "python3"], ids=["own", "portable"])
def mec(request: pytest.FixtureRequest) -> Iterator[MultiEngineClient]:
    with Fleet(2, kernel=request.param) as mec:
        yield mec


@pytest.mark.parametrize(("lose", "reason"), LOSSES.values(), ids=LOSSES)
def test_a_value_that_is_gone_is_an_error_that_says_why_and_never_another_commands(
    mec: MultiEngineClient, lose: Lose, reason: str
) -> None:
    fetched = mec.execute("6 * 7", targets=0)[0]
    assert fetched.value == 42
    statement, lost = (mec.execute(code, targets=0)[0] for code in ("a = 1", "6 * 7"))
    lose(mec)
    if 0 in mec.get_ids():  # where numbers begin anew, others have them now
        for _ in range(lost["number"]):
            mec.execute("'another'", targets=0)
    with pytest.raises(ValueGone, match=reason):
        _ = lost.value
    with pytest.raises(LookupError, match=f"of In .{lost['number']}. on engine 0 is gone"):
        ResultList([lost]).values()
    assert fetched.value == 42
    assert statement.value is None


def test_what_engines_keep_of_their_values_is_bounded_if_asked_for() -> None:
    with Fleet(1, limits={"out_bytes": 1_000_000}) as mec:
        results = [mec.execute("bytearray(400_000)", targets=0)[0] for _ in range(4)]
        assert mec.execute("len([key for key in Out])", targets=0)[0].value == 2
        assert len(results[-1].value) == 400_000
        with pytest.raises(ValueGone, match=r"Limits.out_bytes"):
            _ = results[0].value
