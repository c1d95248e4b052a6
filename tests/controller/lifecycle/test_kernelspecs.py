"""What a kernel is started with: the command, how it is to listen, and what is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

from kernelfleet.controller.lifecycle import kernelspecs
from kernelfleet.controller.lifecycle.kernelspecs import (
    Transport,
    transport_of,
)
from kernelfleet.errors import StartError
from kernelfleet.wire.platforms import platform_of
from kernelfleet.wire.safe_start import SAFELY

LINUX, WINDOWS = platform_of("linux", {"killpg"}), platform_of("win32", set())
IPC, TCP = Transport("ipc", encrypted=False), Transport("tcp", encrypted=False)
CURVE, TRIED = Transport("tcp", encrypted=True), Transport("ipc", encrypted=False, on_trial=True)


def spec(program: str, **metadata: Any) -> KernelSpec:
    return KernelSpec(argv=[program, "-f", "{connection_file}"], metadata=metadata)


PYTHON, OTHER = spec("/usr/bin/python3.12"), spec("/usr/bin/R")
ENCRYPTS = spec("their-kernel", supported_encryption=["curve"])
OWN = kernelspecs.own(Path("/run/fleet"), "abc", None, {})


@pytest.mark.parametrize("insecure", [False, True])
@pytest.mark.parametrize(
    ("kernel", "name", "expected"),
    [(OWN, None, IPC), (PYTHON, "python3", IPC), (ENCRYPTS, "secret", CURVE)],
    ids=["own", "python", "encrypts"],
)
def test_what_keeps_others_out_is_used_whatever_is_allowed(
    kernel: KernelSpec, name: str | None, expected: Transport, insecure: bool
) -> None:
    assert transport_of(kernel, name=name, insecure=insecure, platform=LINUX) == expected


def test_unix_sockets_are_tried_with_a_kernel_that_nobody_knows() -> None:
    assert transport_of(OTHER, name="ir", insecure=False, platform=LINUX) == TRIED


def test_a_kernel_that_nobody_knows_listens_in_the_open_only_if_that_is_allowed() -> None:
    assert transport_of(OTHER, name="ir", insecure=True, platform=LINUX) == TCP
    assert transport_of(OTHER, name="ir", insecure=True, platform=WINDOWS) == TCP


def test_without_unix_sockets_a_kernel_encrypts_or_is_refused() -> None:
    assert transport_of(OWN, name=None, insecure=False, platform=WINDOWS) == CURVE
    assert transport_of(ENCRYPTS, name="secret", insecure=False, platform=WINDOWS) == CURVE
    as_text = spec("their-kernel", supported_encryption="curve")
    assert transport_of(as_text, name="secret", insecure=False, platform=WINDOWS) == CURVE
    for kernel in (PYTHON, OTHER):
        with pytest.raises(StartError, match=r"'theirs' can neither.*every user.*insecure_kernel"):
            transport_of(kernel, name="theirs", insecure=False, platform=WINDOWS)


def test_an_unknown_kernelspec_is_told_with_the_installed_ones() -> None:
    specs = KernelSpecManager()
    with pytest.raises(StartError, match=r"'nonsense' is installed \(found: .*python3"):
        kernelspecs.find(specs, "nonsense")
    assert kernelspecs.find(specs, "python3").language == "python"


def test_a_python_of_a_kernelspec_does_not_import_from_the_current_folder() -> None:
    argv = kernelspecs.find(KernelSpecManager(), "python3").argv
    assert "-m" not in argv
    assert argv[argv.index(SAFELY) + 1] == "ipykernel_launcher"


def test_a_command_for_another_machine_is_left_as_it_is() -> None:
    argv = ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    far = {"kernel_provisioner": {"provisioner_name": "far-provisioner"}}
    specs: Any = SimpleNamespace(get_kernel_spec=lambda _: KernelSpec(argv=argv, metadata=far))
    assert kernelspecs.find(specs, "far").argv == argv


def test_our_own_kernel_is_started_so_too_and_may_put_out_without_limit() -> None:
    assert OWN.argv[1:3] == [SAFELY, "kernelfleet.engine"]
    assert f"--EngineApp.output_limit_bytes={kernelspecs.UNLIMITED}" in OWN.argv
    limited = kernelspecs.own(Path("/run/fleet"), "abc", 10, {})
    assert "--EngineApp.output_limit_bytes=10" in limited.argv
