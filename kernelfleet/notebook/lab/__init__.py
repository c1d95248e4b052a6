"""What the extension of JupyterLab (``labextension/``) asks of a notebook's kernel."""
