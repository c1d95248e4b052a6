"""``kernelfleet install-kernel``: a kernel for front ends that runs every cell on all engines."""

from __future__ import annotations

import sys

from traitlets import Bool, Integer, Unicode

from kernelfleet.cli import completion
from kernelfleet.cli.base import Command
from kernelfleet.cli.exits import EXIT_OK, UsageError


class InstallKernel(Command):
    """``kernelfleet install-kernel``."""

    name = "kernelfleet-install-kernel"
    usage = "kernelfleet install-kernel [options]"
    description = """
        Make a kernel, such as "Fleet (4 engines)", that can be chosen in JupyterLab, Notebook, VS
        Code, a console or papermill. Every cell runs on all engines at the same time; `%%engine 1`
        and `%%local` choose for one cell. The engines start and end with the kernel.

        It is installed for the environment of this Python, or with --user for you in all of them.
        `jupyter kernelspec remove NAME` takes it away.
    """
    examples = """
        kernelfleet install-kernel -n 4
        kernelfleet install-kernel -n 8 --preload numpy,pandas --display-name "Eight with pandas"
        kernelfleet install-kernel --connect sweep      of a running fleet, which goes on
    """

    n = Integer(None, allow_none=True, min=1, help="How many engines (one per core).").tag(
        config=True
    )
    kernel_name = Unicode("", help="The kernel's name (fleet-4).").tag(config=True)
    display_name = Unicode("", help="How front ends show it (Fleet (4 engines)).").tag(config=True)
    connect = Unicode("", help="Use the running fleet of this name.").tag(
        config=True, completer=completion.fleets
    )
    cluster = Unicode("", help="Where the engines run, as for `start` (this machine).").tag(
        config=True
    )
    kernel = Unicode("", help="The kernelspec of the engines (kernelfleet's own Python).").tag(
        config=True, completer=completion.kernelspecs
    )
    on_start = Unicode("", help="Code that every engine runs first.").tag(config=True)
    preload = Unicode("", help="Modules (numpy,pandas) loaded once for all engines.").tag(
        config=True
    )
    user = Bool(False, help="Install it for this user, in all environments.").tag(config=True)
    prefix = Unicode("", help="Install it into the environment of this folder.").tag(config=True)

    aliases = {
        ("n", "engines"): "InstallKernel.n",
        "name": "InstallKernel.kernel_name",
        "display-name": "InstallKernel.display_name",
        "connect": "InstallKernel.connect",
        "cluster": "InstallKernel.cluster",
        "kernel": "InstallKernel.kernel",
        "on-start": "InstallKernel.on_start",
        "preload": "InstallKernel.preload",
        "prefix": "InstallKernel.prefix",
        **Command.aliases,
    }
    flags = {
        "user": (
            {"InstallKernel": {"user": True}}, "Install it for this user, in all environments.",
        ),
        **Command.flags,
    }  # fmt: skip

    def work(self) -> int:
        """Write the kernelspec, and print where."""
        if self.extra_args:
            raise UsageError(f"it takes options only, not {' '.join(self.extra_args)}")
        options = self._options()
        if self.user and self.prefix:
            raise UsageError("--user and --prefix: for this user, or for one environment?")
        from kernelfleet.cli import fleet_kernelspec as spec

        shown = self.display_name or spec.display_name_of(options)
        name = self.kernel_name or spec.name_of(options)
        prefix = None if self.user else self.prefix or sys.prefix
        try:
            path = spec.install(
                name, spec.kernelspec(shown, options), user=self.user, prefix=prefix
            )
        except PermissionError as error:
            raise UsageError(f"{error.filename} cannot be written: add --user") from error
        print(f"Installed the kernel {shown!r} as {name}\n  {path}")
        return EXIT_OK

    def _options(self) -> dict[str, str]:
        """The options of the kernel's process that were chosen."""
        if self.connect:
            others = [self.n, self.cluster, self.kernel, self.on_start, self.preload]
            if any(others):
                raise UsageError("--connect uses a fleet as it is: no other option says how it is")
            return {"connect": self.connect}
        chosen = {
            "engines": "" if self.n is None else str(self.n),
            "cluster": self.cluster,
            "engine-kernel": self.kernel,
            "on-start": self.on_start,
            "preload": self.preload,
        }
        return {name: value for name, value in chosen.items() if value}
