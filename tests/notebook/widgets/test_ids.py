"""ids.py: comms of one id on several engines are several."""

from kernelfleet.notebook.widgets.ids import Ids


def test_an_id_is_the_same_on_both_sides_as_a_rule() -> None:
    ids = Ids()
    assert ids.find(0, "a") is None
    assert ids.add(0, "a") == "a" == ids.find(0, "a") == ids.add(0, "a")
    assert ids.origin("a") == (0, "a")
    data = {"state": {"layout": "IPY_MODEL_a"}}
    assert ids.to_here(0, data) is data
    assert ids.to_engine(0, data) is data


def test_the_second_of_an_id_gets_another_one_and_what_names_it_is_translated() -> None:
    ids = Ids()
    assert ids.add(0, "a") == "a"
    other = ids.add(1, "a")
    assert other != "a"
    assert (ids.find(1, "a"), ids.origin(other)) == (other, (1, "a"))
    there, here = {"child": "IPY_MODEL_a"}, {"child": f"IPY_MODEL_{other}"}
    assert ids.to_here(1, there) == here
    assert ids.to_engine(1, here) == there
    assert ids.to_here(0, there) == there
    assert ids.all_of() == [[0, "a"], [1, "a"]]


def test_a_closed_comm_leaves_nothing() -> None:
    ids = Ids()
    ids.add(0, "a")
    other = ids.add(1, "a")
    for here in (other, "a", "a"):
        ids.remove(here)
    assert ids.all_of() == []
    assert ids.to_here(1, {"child": "IPY_MODEL_a"}) == {"child": "IPY_MODEL_a"}
    assert ids.add(1, "a") == "a"
