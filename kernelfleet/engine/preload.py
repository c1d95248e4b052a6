"""What an engine imports on its way to, and during, its first commands.

Importing this module imports them. The fork server does so once, and its children have them.
Names that another version of a library lacks are skipped.
"""

from __future__ import annotations

import importlib

_MODULES = (
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.debugger_backport",
    "IPython.core.logger",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "IPython.utils.wildcard",
    "argcomplete",
    "traitlets.config.argcomplete_config",
    "asttokens",
    "executing",
    "pure_eval",
    "stack_data",
    "pdb",
    "faulthandler",
    "runpy",
    "pygments.formatters.terminal256",
    "pygments.styles",
    "tornado.locks",
    "tornado.platform.asyncio",
    "tornado.queues",
    "unicodedata",
    "kernelfleet.engine.running.batches",
)

for _name in _MODULES:
    try:
        importlib.import_module(_name)
    except ImportError:
        continue
