"""What two processes both need: messages, frames, serialization, connection files.

Nothing in here knows which process it runs in, and nothing in here opens a socket.
"""
