"""The messages between client, controller and engine, each declared once.

The type of a field and whether it may be missing stand here and nowhere else: mypy reads the
annotations, ``wire/fields.py`` makes checks of them, ``wire/operations.py`` says which operation
has which request, and the tables of ``docs/protocol.md`` are generated from all three.

A message between client and controller is a *header*, one JSON object, and buffers of opaque
bytes. A ``TypedDict`` is a plain dict at run time, so types cost nothing on the way. Code that
passes on whatever comes (``codec``, ``sequence``, ``chunks``) takes a header as a ``JsonDict``.

A request has these numbers and names on its way, and each is for one thing:

``n``
    The number of a message in its session and direction, given by ``sequence.py``. It tells what
    was lost with a connection. A reply names the ``n`` of its request in ``to``.
``result_id``
    Made by the client for a request whose result can be asked for later, also by other clients
    and after a reconnection, when all ``n`` are new. The controller knows a request by it.
``msg_id``
    Jupyter's id of the message that the controller sends to one kernel. Replies and outputs name
    it as their parent's. It is new when a kernel is asked again.
position in ``targets``
    A target's result stands where the target stands. An engine that is named twice has two.

Where things are::

    between client and controller   session  requests  replies
    to and from a node's starter    nodes
    between controller and kernel   kernel
"""

from typing import Any

#: An object of JSON whose keys are not known beforehand.
JsonDict = dict[str, Any]
