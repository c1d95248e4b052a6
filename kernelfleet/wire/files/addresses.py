"""TCP addresses: which are of this machine alone, how they stand in a URL, and what others see."""

from __future__ import annotations

import contextlib
import ipaddress
import socket

LOOPBACK = "127.0.0.1"

#: By the address that means "all of this machine's": a family, an address of nobody's that lies
#: beyond the default route (RFC 5737 and 3849), and what there is without such a route.
_ALL = {
    "0.0.0.0": (socket.AF_INET, "192.0.2.1", LOOPBACK),  # noqa: S104 (compared, not bound)
    "::": (socket.AF_INET6, "2001:db8::1", "::1"),
}


def in_url(host: str) -> str:
    """A host as it stands in a URL: addresses of IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def host_of(url: str) -> str:
    """The host of a URL such as ``tcp://10.0.0.5:10105``."""
    return url.rpartition("://")[2].rpartition(":")[0].strip("[]")


def is_loopback(url: str) -> bool:
    """Whether only processes of the same machine can reach a URL."""
    host = host_of(url)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def reachable_url(url: str) -> str:
    """The URL as clients on other machines use it.

    ``0.0.0.0`` and ``::`` are no place to go to: the address on the way to the outside stands in.
    """
    host = host_of(url)
    if host not in _ALL:
        return url
    return f"tcp://{in_url(_outward(*_ALL[host]))}:{url.rpartition(':')[2]}"


def _outward(family: socket.AddressFamily, beyond: str, otherwise: str) -> str:
    """This machine's address on the default route; nothing is sent to find out."""
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as asked:
        asked.connect((beyond, 9))
        return str(asked.getsockname()[0])
    return otherwise
