"""What an environment lacks is imported from sources, and can be taken back."""

from __future__ import annotations

from tests.engine.bare import python


def test_what_is_lacking_is_provided_with_its_lines_for_tracebacks() -> None:
    out = python("""
provided.provide("1", sources)
import inspect, kernelfleet.wire.objects.serialize as s, cloudpickle
print(s.unpack(s.pack({"f": lambda: 42}))["f"](), s.__file__)
print(inspect.getsource(s.unpack).splitlines()[0])
""")
    assert out.splitlines() == [
        "42 /<kernelfleet>/wire/objects/serialize.py",
        "def unpack(frames: Sequence[Any]) -> Any:",
    ]


def test_what_is_provided_can_be_taken_back() -> None:
    out = python("""
provided.provide("1", sources)
import kernelfleet.wire.objects.serialize
provided.take_back()
try:
    import kernelfleet
except ImportError:
    print("gone")
""")
    assert out == "gone"
