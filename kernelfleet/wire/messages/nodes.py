"""What the starter of a node tells it on standard input, and what the node says of itself.

Each is one line of JSON. No secret is in it: the head has made its key pair and gives the public
key, and the node makes its own and gives the public key. A secret that travelled through a cluster
whose traffic others can read would be theirs.
"""

from typing import Any, NotRequired, TypedDict

from kernelfleet.wire.fields import Size


class NodeSpec(TypedDict):
    """How a node is to be; the options are those of ``FleetOptions``."""

    name: str
    #: The address to listen on; None is that by which the starter has reached the node.
    host: str | None
    client_key: str
    embedded: bool
    cwd: str | None
    on_start: str | None
    fork: bool
    preload: list[str]
    insecure_kernel: bool
    restart: str
    limits: dict[str, Any]
    #: How many GPUs the engines share; None has the node look for them.
    gpus: Size | None
    #: Whether the engines are ranks of an MPI world.
    mpi: bool


class NodeReport(TypedDict):
    """What a node is, once it listens; or with ``error`` why it does not."""

    error: NotRequired[str]
    host: str
    pid: int
    url: str
    server_key: str
    cores: Size
    kernelfleet: str
    protocol: Size
    python: str


class EndOfNode(TypedDict):
    """A later line for a node: end, for this reason."""

    end: str
