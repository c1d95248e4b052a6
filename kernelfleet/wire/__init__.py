"""What two processes both need: messages, frames, serialization, connection files.

Nothing in here opens a socket (``pump`` serves those that others have opened), and nothing decides
by the process it runs in: an engine registers with ``functions`` what makes it one.

Where things are::

    what is said                    messages  operations  fields
    between client and controller   handshake  versions  codec
    on the way                      chunks  lanes  sequence
    between controller and kernel   jupyter  json_safe  outputs
    the files of a fleet            files
    the user's objects as bytes     objects  buffers
    processes                       process_tags  safe_start  platforms  launcher_variables
    below                           pump
"""
