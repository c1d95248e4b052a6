"""How a Python is started without the current folder on its path; see ``wire/safe_start.py``.

The folder holds nothing else: while the script begins, it is where Python looks first.
"""
