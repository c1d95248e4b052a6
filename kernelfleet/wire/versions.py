"""Whether two installations of kernelfleet can be a client and a fleet, and what to do if not.

The protocol's number changes with the messages between client and controller, and with what our
pickles name: functions of ``wire`` and ``engine`` that make objects where a pickle arrives.
"""

from __future__ import annotations

from typing import NamedTuple

from kernelfleet import __version__

#: Raise it with every change that another version would misunderstand.
PROTOCOL_VERSION = 6


class Installed(NamedTuple):
    """A version of kernelfleet, and of the protocol that it speaks."""

    kernelfleet: str
    protocol: int

    def __str__(self) -> str:
        return f"kernelfleet {self.kernelfleet or '(unknown)'}, protocol {self.protocol}"


#: This process's.
HERE = Installed(__version__, PROTOCOL_VERSION)


def why_not(fleet: Installed, client: Installed, name: str) -> str | None:
    """Why a client cannot talk to a fleet, and what to do about it; None if it can.

    Args:
        fleet: What the fleet's controller runs.
        client: What the client runs.
        name: The fleet's.
    """
    if fleet.protocol == client.protocol:
        return None
    text = f"the fleet {name!r} runs {fleet}, and this client {client}: "
    if fleet.protocol > client.protocol:
        wanted = f"=={fleet.kernelfleet}" if fleet.kernelfleet else ""
        return f"{text}pip install 'kernelfleet{wanted}' here, and start this process afresh"
    return (
        f"{text}start the fleet afresh with the later version (`kernelfleet stop {name}`, then "
        "`kernelfleet start`; what its engines hold is lost), or use the fleet's version here"
    )
