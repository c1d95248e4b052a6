"""The messages between client, controller and engine.

Whoever holds a header that may be of any kind, or a value that is the user's, calls it a
``JsonDict``; what has a known form is typed.
"""

from __future__ import annotations

from typing import Any

#: An object of JSON whose keys are not known beforehand.
JsonDict = dict[str, Any]
