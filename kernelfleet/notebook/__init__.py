"""Magics, live output, the display of errors, and completion in IPython and notebooks.

Runs in the user's process, beside the client. It uses the client's public interface and
``kernelfleet.client.access``. Nothing of it is imported before a shell asks for it, or a client is
made in a shell.

Where things are::

    what clients ask     frontend
    what is kept         shell_state
    what is typed        extension  magics  fleet_magic  autopx  options  completion  words
    what runs            attach
    widgets of engines   widgets
    a fleet as a kernel  kernel
    what is shown        running  screens  discarded  failures  status  long_results
"""
