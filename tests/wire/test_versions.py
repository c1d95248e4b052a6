"""A client and a fleet of different versions: which they are, and what to do."""

from __future__ import annotations

from kernelfleet import __version__
from kernelfleet.wire.versions import HERE, PROTOCOL_VERSION, Installed, why_not

OLD, NEW = Installed("0.1.0", 3), Installed("0.2.0", 4)


def test_this_process_says_what_it_is() -> None:
    assert Installed(__version__, PROTOCOL_VERSION) == HERE
    assert str(OLD) == "kernelfleet 0.1.0, protocol 3"


def test_the_same_protocol_will_do_whatever_the_version() -> None:
    assert why_not(NEW, NEW, "a") is None
    assert why_not(Installed("0.2.7", 4), NEW, "a") is None


def test_a_client_that_is_older_is_to_be_upgraded() -> None:
    assert why_not(NEW, OLD, "a") == (
        "the fleet 'a' runs kernelfleet 0.2.0, protocol 4, and this client kernelfleet 0.1.0, "
        "protocol 3: pip install 'kernelfleet==0.2.0' here, and start this process afresh"
    )
    assert "pip install 'kernelfleet' here" in str(why_not(Installed("", 9), NEW, "a"))


def test_a_fleet_that_is_older_is_to_be_started_afresh() -> None:
    text = str(why_not(OLD, NEW, "a"))
    assert "the fleet 'a' runs kernelfleet 0.1.0, protocol 3, and this client" in text
    assert "`kernelfleet stop a`" in text
    assert "kernelfleet (unknown), protocol 1" in str(why_not(Installed("", 1), NEW, "a"))
