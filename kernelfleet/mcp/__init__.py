"""``kernelfleet mcp``: programs that speak the Model Context Protocol, such as agents, use fleets.

It runs in a process of its own, which the owner of the fleets starts (``kernelfleet mcp``), and
speaks on its stdin and stdout, or over HTTP on this machine's loopback with a token.

Where things are::

    the tools, typed and described   tools
    fleets and their clients         fleets
    results as text and pictures     answers
    long texts, read page by page    pages
    stdin and stdout, or HTTP        serve
"""
