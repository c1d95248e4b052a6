"""What a finished command has printed, told from its result: the one place that knows how.

The controller folds what an engine publishes into Jupyter outputs, and ``clear_output`` takes
away from these what was printed before it. Where that makes a difference the result has the whole
text beside its outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def printed(result: Mapping[str, Any], stream: str) -> str:
    """All that one target wrote to ``stdout`` or ``stderr``, cleared or not.

    Args:
        result: A target's result as it travels from the controller to the client.
        stream: ``'stdout'`` or ``'stderr'``.
    """
    if stream in result:
        return str(result[stream])
    outputs = result.get("outputs") or ()
    return "".join(output["text"] for output in outputs if output.get("name") == stream)
