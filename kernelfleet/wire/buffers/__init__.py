"""Large buffers between processes of one machine, which share memory instead of copying it.

Where things are::

    memory that is written once         shared_memory  huge_pages
    sent on as it has come              received
    files that the sender has mapped    mapped_files  mappings
    what the kernel tells of pages      pages
    both as what travels                frames
    what arrives from elsewhere         arriving
"""
