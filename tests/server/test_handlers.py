"""REST against a real Jupyter Server, under a prefix."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kernelfleet import CompositeError, MultiEngineClient
from kernelfleet.server.shapes import EngineRow, FleetHead
from tests.fleets import eventually
from tests.server.conftest import PREFIX, JupyterServer


@pytest.fixture(scope="module")
def fleet(jupyter: JupyterServer) -> Iterator[str]:
    """A fleet of two engines that the server has started."""
    made = jupyter.post("fleets", {"name": "shown", "n": 2})
    assert made.status == 201, made.text
    assert made.headers["Location"] == f"{PREFIX}kernelfleet/api/fleets/shown"
    yield "shown"
    assert jupyter.delete("fleets/shown").status == 204
    assert "shown" not in jupyter.names()


def test_a_fleet_is_listed_with_its_engines(jupyter: JupyterServer, fleet: str) -> None:
    answer = jupyter.get("fleets").json
    (found,) = [each for each in answer["fleets"] if each["name"] == fleet]
    engines = found.pop("engines")
    assert set(found) == set(FleetHead.__annotations__)
    assert (found["state"], found["counts"], found["nodes"]) == ("running", {"idle": 2}, 1)
    assert found["owner"]["kind"] == "daemon"
    assert [set(row) for row in engines] == [set(EngineRow.__annotations__)] * 2
    assert [row["id"] for row in engines] == [0, 1]
    assert answer["cores"] >= 1


def test_no_key_of_a_fleet_is_shown(jupyter: JupyterServer, fleet: str) -> None:
    from kernelfleet.wire.files.connection_file import read

    file, shown = read(fleet), jupyter.get(f"fleets/{fleet}").text
    assert file.client_secret_key is not None
    assert file.key not in shown
    assert file.client_secret_key not in shown


def test_scaling_gives_and_takes_engines(jupyter: JupyterServer, fleet: str) -> None:
    assert jupyter.post(f"fleets/{fleet}/scale", {"n": 3}).json == {"done": True, "ids": [0, 1, 2]}
    assert jupyter.post(f"fleets/{fleet}/scale", {"n": 2}).json == {"done": True, "ids": [0, 1]}


def test_an_engine_is_interrupted_and_restarted(jupyter: JupyterServer, fleet: str) -> None:
    with MultiEngineClient(fleet) as mec:
        begun = mec.execute("while True: pass", targets=[0], block=False)
        eventually(lambda: mec.engines()[0].state == "busy")
        assert jupyter.post(f"fleets/{fleet}/interrupt", {"targets": [0]}).json == {"done": True}
        with pytest.raises(CompositeError) as failed:
            begun.result(timeout=20)
        assert "KeyboardInterrupt" in str(failed.value)
        before = [engine.pid for engine in mec.engines()]
        assert jupyter.post(f"fleets/{fleet}/restart", {"targets": 1}).json == {"done": True}
        after = [engine.pid for engine in mec.engines()]
    assert (after[0] == before[0], after[1] == before[1]) == (True, False)


def test_logs_are_shown_from_their_end(jupyter: JupyterServer, fleet: str) -> None:
    with MultiEngineClient(fleet) as mec:
        mec.execute("for i in range(300): print('line', i)", targets=[0])
    log = jupyter.get(f"fleets/{fleet}/engines/0/log?lines=2").json
    assert (log["fleet"], log["engine"], log["truncated"]) == (fleet, 0, True)
    assert log["lines"] == ["line 298", "line 299"]
    assert "started fleet" in "".join(jupyter.get(f"fleets/{fleet}/log").json["lines"])


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "reason"),
    [
        ("GET", "fleets/nobody", None, 404, "FleetNotFound"),
        ("DELETE", "fleets/nobody", None, 404, "FleetNotFound"),
        ("POST", "fleets/nobody/scale", {"n": 2}, 404, "FleetNotFound"),
        ("POST", "fleets/{fleet}/scale", {"n": "2"}, 400, "BadBody"),
        ("POST", "fleets/{fleet}/scale", {"n": 0}, 400, "ValueError"),
        ("POST", "fleets/{fleet}/scale", b"{", 400, "BadBody"),
        ("POST", "fleets/{fleet}/interrupt", {"target": 0}, 400, "BadBody"),
        ("POST", "fleets/{fleet}/interrupt", {"targets": [7]}, 404, "InvalidEngineID"),
        ("POST", "fleets/{fleet}/restart", {"targets": {}}, 400, "ValueError"),
        ("POST", "fleets", {"name": "{fleet}"}, 409, "FleetExists"),
        ("POST", "fleets", {"name": "../x"}, 400, "ValueError"),
        ("POST", "fleets", {"n": 0}, 400, "BadBody"),
        ("POST", "fleets", {"cwd": "not there"}, 400, "BadBody"),
        ("POST", "fleets", {"kernel": "nobody's"}, 422, "StartError"),
        ("GET", "fleets/{fleet}/engines/0/log?lines=all", None, 400, "BadBody"),
        ("GET", "fleets/nobody/engines/0/log", None, 404, "FleetNotFound"),
    ],
)
def test_an_error_says_what_is_wrong_and_what_to_do(
    jupyter: JupyterServer, fleet: str, method: str, path: str, body: object, status: int,
    reason: str,
) -> None:  # fmt: skip
    if body == {"name": "{fleet}"}:
        body = {"name": fleet}
    answer = jupyter.ask(method, path.format(fleet=fleet), body)
    assert answer.status == status, answer.text
    assert answer.json["reason"] == reason
    assert answer.json["message"]
    assert answer.json["remedy"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "token of somebody else"}])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "fleets"), ("POST", "fleets"), ("GET", "fleets/{fleet}"),
        ("DELETE", "fleets/{fleet}"), ("POST", "fleets/{fleet}/scale"),
        ("POST", "fleets/{fleet}/interrupt"), ("POST", "fleets/{fleet}/restart"),
        ("GET", "fleets/{fleet}/log"), ("GET", "fleets/{fleet}/engines/0/log"), ("GET", "watch"),
    ],
)  # fmt: skip
def test_who_has_not_the_token_of_this_server_gets_nothing(
    jupyter: JupyterServer, fleet: str, headers: dict[str, str], method: str, path: str
) -> None:
    before = jupyter.names()
    answer = jupyter.ask(method, path.format(fleet=fleet), headers=headers)
    assert answer.status == 403
    assert fleet not in answer.text
    assert jupyter.names() == before


def test_a_cookie_alone_changes_nothing(jupyter: JupyterServer, fleet: str) -> None:
    cookie = {"Cookie": jupyter.cookie()}
    assert jupyter.ask("GET", "fleets", headers=cookie).status == 200
    refused = jupyter.ask("POST", f"fleets/{fleet}/scale", {"n": 1}, headers=cookie)
    assert refused.status == 403
    assert "XSRF" in refused.json["remedy"]
    assert len(jupyter.get(f"fleets/{fleet}").json["engines"]) == 2


def test_a_fleet_without_a_name_gets_the_first_free_one(jupyter: JupyterServer) -> None:
    (jupyter.root / "sub").mkdir()
    made = [jupyter.post("fleets", {"n": 1, "cwd": "sub"}).json["name"] for _ in range(2)]
    assert made == ["default", "fleet-2"]
    with MultiEngineClient("fleet-2") as mec:  # in the folder that was asked for
        mec.execute("import os; here = os.getcwd()")
        assert mec["here"] == [str(jupyter.root / "sub")]
    for name in made:
        assert jupyter.delete(f"fleets/{name}").status == 204
