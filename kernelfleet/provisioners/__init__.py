"""How a kernel process comes to be, other than by ``Popen``: provisioners for jupyter_client.

Nothing in here knows of fleets; any KernelManager may use them.
"""
