"""How things look: plain data in, text and static HTML out.

Used by results, errors, the notebook side and the command line, so that all of them show the same
columns, units and words. Nothing here knows a client, a shell or a controller, and nothing here
does any I/O: whoever calls it has asked the questions already.

Where things are::

    tables               tables
    outputs of engines   layout  transcript
    the HTML of all      html
"""
