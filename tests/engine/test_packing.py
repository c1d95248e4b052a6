"""What JSON cannot say is said as well as can be, and everything else as it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client import session
from jupyter_client.session import json_packer, json_unpacker

from kernelfleet.engine.packing import json_safe, keep_own_json, lenient

texts = st.text(st.characters(), max_size=10)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=10,
)


@given(values)
def test_any_text_is_packed_and_what_can_be_said_is_said_as_it_is(
    value: object,
) -> None:
    packed = lenient(json_packer)({"content": value})
    try:
        assert packed == json_packer({"content": value})
    except UnicodeEncodeError:
        assert json.loads(packed) == {"content": json_safe(value)}


def test_half_a_surrogate_pair_is_shown_as_an_escape() -> None:
    assert json_safe({"a\ud800": ["\udfff", "ü😀", 1, None]}) == {
        "a\\ud800": ["\\udfff", "ü😀", 1, None]
    }


def test_other_refusals_stay() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(RecursionError):
        lenient(json_packer)(deep)


def test_messages_are_packed_whatever_the_user_puts_in_the_place_of_json(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "json", json)  # what it is comes back after the test
    keep_own_json()
    for name in ("dumps", "loads"):
        monkeypatch.setattr(json, name, lambda *args, **kwargs: None)
    assert json_unpacker(json_packer({"a": 1})) == {"a": 1}
