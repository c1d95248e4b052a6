"""What a user sees and touches in IPython: magics, live output, errors, completion, HTML.

Runs in the user's process, beside the client, whose public interface it uses. Nothing of it is
imported before a shell asks for it.

Where things are::

    what is typed        extension  magics  fleet_magic  autopx  options  completion  words
    what runs            attach
    what is shown        running  screens  discarded  failures  status  long_results
"""
