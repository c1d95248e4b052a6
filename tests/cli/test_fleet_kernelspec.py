"""What the kernelspec of a fleet says, and what it replaces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager

from kernelfleet.cli.fleet_kernelspec import (
    display_name_of,
    install,
    kernelspec,
    name_of,
)
from kernelfleet.notebook.kernel.app import ALIASES
from kernelfleet.wire.safe_start import SAFELY


def test_the_kernel_looks_for_nothing_in_the_current_folder() -> None:
    spec = kernelspec("Fleet", {"engines": "4"})
    assert spec["argv"][1:] == [
        SAFELY, "kernelfleet.notebook.kernel", "-f", "{connection_file}", "--engines=4",
    ]  # fmt: skip
    assert (spec["language"], spec["interrupt_mode"]) == ("python", "signal")


@pytest.mark.parametrize(
    ("options", "shown", "name"),
    [
        ({"engines": "4"}, "Fleet (4 engines)", "fleet-4"),
        ({"engines": "1"}, "Fleet (1 engine)", "fleet-1"),
        ({}, "Fleet (an engine per core)", "fleet"),
        ({"connect": "sweep"}, "Fleet sweep", "fleet-sweep"),
        (
            {"engines": "8", "cluster": "ssh:a,b"},
            "Fleet (8 engines of ssh:a,b)",
            "fleet-8-ssh-a-b",
        ),
    ],
)
def test_it_is_named_after_what_it_is(options: dict[str, str], shown: str, name: str) -> None:
    assert (display_name_of(options), name_of(options)) == (shown, name)
    assert set(options) <= set(ALIASES)


def test_one_of_ours_is_replaced_and_another_kernel_is_not(tmp_path: Path) -> None:
    manager = KernelSpecManager()
    install("fleet-4", kernelspec("A", {}), user=True, prefix=None)
    path = install("fleet-4", kernelspec("B", {"engines": "4"}), user=True, prefix=None)
    assert manager.get_kernel_spec("fleet-4").display_name == "B"
    assert (path / "logo-svg.svg").exists()
    other = json.loads((path / "kernel.json").read_text())
    del other["metadata"]
    (path / "kernel.json").write_text(json.dumps(other))
    with pytest.raises(ValueError, match="which is no fleet: choose another name"):
        install("fleet-4", kernelspec("C", {}), user=True, prefix=None)
    elsewhere = install("mine", kernelspec("D", {}), user=False, prefix=str(tmp_path / "env"))
    assert elsewhere == tmp_path / "env" / "share" / "jupyter" / "kernels" / "mine"
