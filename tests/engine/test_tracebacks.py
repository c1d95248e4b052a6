from __future__ import annotations

import pytest

from kernelfleet.engine.tracebacks import render_plainly, users_frames


def test_frames_of_other_files_stay() -> None:
    with pytest.raises(ValueError, match="x") as caught:
        raise ValueError("x")
    assert users_frames(caught.tb) is caught.tb
    assert users_frames(None) is None


def test_plain_rendering_survives_a_hostile_error() -> None:
    class Hostile(Exception):
        @property
        def __notes__(self) -> list[str]:  # type: ignore[override]
            raise RuntimeError

        def __str__(self) -> str:
            raise RuntimeError

    assert any("Hostile" in line for line in render_plainly(Hostile()))


def test_groups_are_rendered_with_their_members() -> None:
    group = ExceptionGroup("several", [ValueError("one"), KeyError("two")])
    text = "\n".join(render_plainly(group))
    assert "one" in text
    assert "two" in text
