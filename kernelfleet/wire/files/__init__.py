"""The files of a fleet, private to its user: its directory, its lock, its connection file.

Where things are::

    names and places        fleet_paths
    the owner's side        fleet_directory
    the client's side       connection_file  addresses
    its logs                fleet_logs
    beside its kernels      packet_socket
    who may read or write   private_files
"""
