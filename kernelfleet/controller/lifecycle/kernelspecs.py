"""What a kernel is started with: its command, and the transport it listens on.

Other users must be kept from a kernel, by the private directory of its Unix sockets or by
encryption. On loopback TCP without encryption every user of the machine can subscribe to a kernel
and read all code and output, so that transport is used only if the user allows it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel

from kernelfleet.errors.tree import StartError
from kernelfleet.wire.platforms import HERE, Platform
from kernelfleet.wire.safe_start import is_python, safely

#: Bytes of output beyond what any command prints: no limit.
UNLIMITED = 2**62


class Transport(NamedTuple):
    """The transport that a kernel is told to use."""

    name: Literal["ipc", "tcp"]
    encrypted: bool
    #: Whether it is unknown if the kernel supports this transport; if not, it will not answer.
    on_trial: bool = False


def own(
    directory: Path,
    session_id: str,
    output_bytes: int | None,
    provisioner: Mapping[str, Any],
    *,
    log_output: bool = False,
    out_bytes: int | None = None,
) -> KernelSpec:
    """The kernelspec of kernelfleet's own kernel.

    Args:
        directory: A directory that it may write to.
        session_id: The session of its messages, by which the controller recognizes them.
        output_bytes: How much output a command may produce; None is no limit.
        provisioner: How it is started, as in a kernel.json.
        log_output: Whether it also writes what user code prints to its log.
        out_bytes: How much IPython may keep in ``Out``; None bounds only their number.
    """
    argv = [
        *safely([sys.executable, "-m", "kernelfleet.engine"]),
        "-f",
        "{connection_file}",
        f"--Session.session={session_id}",
        f"--IPKernelApp.ipython_dir={directory}/ipython",
        f"--EngineApp.output_limit_bytes={output_bytes or UNLIMITED}",
        f"--EngineApp.log_output={log_output}",
    ]
    if out_bytes is not None:
        argv.append(f"--EngineApp.out_limit_bytes={out_bytes}")
    return KernelSpec(
        argv=argv,
        display_name="kernelfleet engine",
        language="python",
        metadata={"supported_encryption": ["curve"], "kernel_provisioner": dict(provisioner)},
    )


def find(specs: KernelSpecManager, name: str) -> KernelSpec:
    """The installed kernelspec of this name, with its command made safe as in ``safe_start.py``.

    Raises:
        StartError: there is none; the message lists the installed ones.
    """
    try:
        spec = specs.get_kernel_spec(name)
    except NoSuchKernel:
        known = ", ".join(sorted(specs.find_kernel_specs())) or "none"
        raise StartError(f"no kernelspec named {name!r} is installed (found: {known})") from None
    if _is_started_here(spec):
        spec.argv = safely(spec.argv)
    return spec


def transport_of(
    spec: KernelSpec, *, name: str | None, insecure: bool, platform: Platform = HERE
) -> Transport:
    """Decide how a kernel is to listen.

    Args:
        spec: Its kernelspec.
        name: What that is called; None is kernelfleet's own kernel.
        insecure: Whether the user allows TCP without encryption.
        platform: What the system offers.

    Raises:
        StartError: there is no way that keeps others out.
    """
    if platform.unix_sockets and (name is None or _is_built_on_ipykernel(spec)):
        return Transport("ipc", encrypted=False)
    if name is None or _knows_encryption(spec):
        return Transport("tcp", encrypted=True)
    if insecure:
        return Transport("tcp", encrypted=False)
    if platform.unix_sockets:
        return Transport("ipc", encrypted=False, on_trial=True)
    raise StartError(why_not_tcp(name))


_WAY_OUT = (
    "where nobody else uses the machine, insecure_kernel=True (--insecure-kernel) has it listen on "
    "loopback TCP without encryption"
)


def why_not_tcp(name: str) -> str:
    """The error about a kernel that could only use plain TCP, which was not allowed."""
    return (
        f"the kernel {name!r} can neither use Unix sockets here nor, as its kernelspec has no "
        "supported_encryption, encrypt: every user of this machine could read its code and output; "
        f"{_WAY_OUT}"
    )


#: A warning of the log: engine id, kernel.
PLAIN_TCP = (
    "engine %d (kernel %s) listens on loopback TCP without encryption, as insecure_kernel allows: "
    "every user of this machine can read its code and output"
)


def about_the_trial(name: str) -> str:
    """A hint for a kernel that does not answer on the Unix sockets it was told to use."""
    return (
        f"the kernel {name!r} was told to listen on Unix sockets (transport 'ipc'), which keep "
        f"other users out, and perhaps does not know them; {_WAY_OUT}, where every user can read "
        "its code and output"
    )


def _is_started_here(spec: KernelSpec) -> bool:
    """Whether its command runs on this machine, so that it can use files of this package."""
    provisioner = spec.metadata.get("kernel_provisioner") or {}
    name = provisioner.get("provisioner_name", os.environ.get("JUPYTER_DEFAULT_PROVISIONER_NAME"))
    return name in (None, "local-provisioner", "kernelfleet-fork")


def _is_built_on_ipykernel(spec: KernelSpec) -> bool:
    """Whether it is certain to support ipc, as every kernel based on ipykernel does."""
    return bool(spec.argv) and is_python(spec.argv[0])


def _knows_encryption(spec: KernelSpec) -> bool:
    supported = spec.metadata.get("supported_encryption") or ()
    return "curve" in ([supported] if isinstance(supported, str) else supported)
