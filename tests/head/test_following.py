"""following.py: a follower gets everything once, in order, whatever comes when."""

from __future__ import annotations

from typing import Any

from kernelfleet.head.following import Followers
from kernelfleet.wire.outputs import to_pages

NODE: Any = object()
OTHER: Any = object()


def test_what_comes_before_a_node_has_told_the_past_is_not_shown_twice() -> None:
    followers, heard = Followers(), list[Any]()
    followers.add("f", "me", lambda engine, _, content: heard.append((engine, bytes(content))))
    followers.show(NODE, 0, "stream", b"late")
    followers.take(
        NODE, {"event": "output", "follower": "f", "engine": 0}, to_pages("stream", b"a")
    )
    followers.show(OTHER, 1, "stream", b"not yet")
    followers.take(NODE, {"event": "followed", "follower": "f"}, [])
    followers.show(NODE, 0, "stream", b"b")
    assert heard == [(0, b"a"), (0, b"b")]


def test_a_client_that_follows_again_is_one_follower() -> None:
    followers, heard = Followers(), list[str]()
    for name in ("first", "second"):
        followers.add(name, "me", lambda *_, name=name: heard.append(name))
        followers.take(NODE, {"event": "followed", "follower": name}, [])
    followers.take(NODE, {"event": "followed", "follower": "first"}, [])
    followers.show(NODE, 0, "stream", b"")
    assert heard == ["second"]
    assert len(followers) == 1


def test_nothing_comes_from_a_node_that_is_done() -> None:
    followers, heard = Followers(), list[Any]()
    followers.add("f", "me", lambda *said: heard.append(said))
    followers.take(NODE, {"event": "followed", "follower": "f"}, [])
    followers.left(NODE)
    followers.show(NODE, 0, "stream", b"")
    assert heard == []
