"""What two processes both need: messages, frames, serialization, connection files.

Nothing in here opens a socket (``pump`` serves those that others have opened), and nothing decides
by the process it runs in: an engine registers with ``functions`` what makes it one.

Where things are::

    between client and controller   handshake  versions  codec  parts  lanes  sequence
    a fleet's files                 connection  private
    between controller and kernel   jupyter  marks
    how a Python is started         safe_start
    objects as bytes                serialize  packable  blocks  outputs
    functions and classes           functions  references  arrivals  cloudpickling
    what makes them right there     sources  recursion  pythons  loads  culprits
    below                           pump  platforms
"""
