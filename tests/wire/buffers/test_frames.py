"""Buffers as what travels, and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelfleet.wire.buffers.frames import frame_bytes, from_frames, to_frames
from kernelfleet.wire.buffers.mapped_files import FileRange, MappedFile
from kernelfleet.wire.buffers.shared_memory import LostSharedBuffer, SharedBuffer, available

pytestmark = pytest.mark.skipif(not available(), reason="no shared memory here")

DATA = bytes(range(256)) * 100


@pytest.fixture
def part(tmp_path: Path) -> FileRange:
    (tmp_path / "data").write_bytes(DATA)
    return FileRange(MappedFile(str(tmp_path / "data"), follow=False), 100, 5000)


def test_memory_and_files_are_handles_where_they_are_shared_and_bytes_elsewhere(
    part: FileRange,
) -> None:
    memory, small = SharedBuffer.write(DATA), b"as it is"
    here = to_frames([memory, part, small], shared=True)
    assert here == [memory.handle, part.handle, small]
    opened = from_frames(here, with_files=True)
    assert [type(each) for each in opened] == [SharedBuffer, FileRange, bytes]
    assert bytes(opened[0].map()) == DATA
    assert bytes(opened[1].map()) == DATA[100:5100]
    away = to_frames([memory, part, small], shared=False)
    assert [bytes(each) for each in away] == [DATA, DATA[100:5100], small]
    assert [frame_bytes(each) for each in (memory, part, small)] == [len(DATA), 5000, 8]


def test_an_engine_cannot_have_a_file_opened_by_its_reply(part: FileRange) -> None:
    with pytest.raises(LostSharedBuffer, match="on the way to engines only"):
        from_frames([part.handle])


def test_data_that_begins_like_a_handle_but_is_longer_stays_data() -> None:
    data = b"kernelfleet-file:" + bytes(200)
    assert from_frames([data]) == [data]
