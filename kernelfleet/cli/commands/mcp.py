"""``kernelfleet mcp``: fleets for programs that speak the Model Context Protocol."""

from __future__ import annotations

import os
import sys

from traitlets import Integer

from kernelfleet.cli.base import Command
from kernelfleet.cli.exits import EXIT_OK, UsageError

#: The environment variable with the token of ``--http``.
TOKEN = "KERNELFLEET_MCP_TOKEN"  # noqa: S105 (the variable's name)


class Mcp(Command):
    """``kernelfleet mcp``."""

    name = "kernelfleet-mcp"
    usage = "kernelfleet mcp [--http PORT]"
    description = f"""
        Serve fleets to a program that speaks the Model Context Protocol, such as an agent: it can
        list, start and stop fleets, run cells, look at variables, interrupt, and read logs. It
        can do on this machine whatever you can. Without options it speaks on stdin and stdout,
        and is started by that program. Fleets that it has started end with it. With --http it
        listens on 127.0.0.1, for requests that have the token in {TOKEN}
        (or a new one, which is printed). Needs kernelfleet[mcp].
    """
    examples = """
        kernelfleet mcp
        kernelfleet mcp --http 8765
    """

    http = Integer(
        None,
        allow_none=True,
        min=0,
        max=65535,
        help="Serve HTTP on this port of 127.0.0.1 (0: any).",
    ).tag(config=True)
    aliases = {"http": "Mcp.http", **Command.aliases}

    def work(self) -> int:
        """Serve until the other side closes the pipe, or until Ctrl-C."""
        if self.extra_args:
            raise UsageError(f"mcp takes no arguments: {' '.join(self.extra_args)}")
        try:
            from kernelfleet.mcp import serve
        except ModuleNotFoundError as error:
            package = str(error.name).partition(".")[0]
            raise UsageError(
                f"mcp needs the package {package}: pip install 'kernelfleet[mcp]'"
            ) from None
        if self.http is None:
            serve.over_stdio()
            return EXIT_OK
        given = os.environ.pop(TOKEN, "")  # (the engines need not know it)
        token = given or serve.new_token()

        def announce(address: str) -> None:
            print(f"Serving fleets on {address}", file=sys.stderr)
            if not given:
                print(f"Authorization: Bearer {token}", file=sys.stderr, flush=True)

        serve.over_http(self.http, token, announce)
        return EXIT_OK
