"""What two processes both need: messages, frames, serialization, connection files.

Nothing in here knows which process it runs in, and nothing in here opens a socket.

Where things are::

    between client and controller   connection (files)  handshake  codec  sequence  private
    between controller and kernel   jupyter  marks
    objects as bytes                serialize  exceptions  packable  blocks  printed
    functions and classes           functions  sources  cloudpickling
    below                           pump  platforms
"""
