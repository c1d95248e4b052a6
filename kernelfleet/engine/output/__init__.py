"""What an engine publishes, how fast, and where a copy goes.

Where things are::

    messages and streams    iopub
    bounds                  rate_limit  outflow
    before a crash          network_threads
    progress bars           bars
    the engine's log        output_log
"""
