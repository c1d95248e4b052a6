"""Text and static HTML for everything that is shown; plain data in, text out.

Results, errors, the notebook side and the command line use this room, so that all of them show the
same columns, units and words. Nothing here knows a client, a shell or a controller, and nothing
does any I/O.

Where things are::

    tables               tables
    outputs of engines   layout  transcript  bundle
    what engines did     lanes  timeline
    a fleet on one page  overview
    the HTML of all      html
"""
