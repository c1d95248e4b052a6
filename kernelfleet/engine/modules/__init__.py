"""How an engine imports what the client can import, in the version that the client has.

Where things are::

    what a client can import       imports
    modules that only it has       shipped
    which modules are older        current
    executing a module again       edits  in_place  grafts
"""
