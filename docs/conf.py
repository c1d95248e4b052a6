"""Builds the documentation as a site: ``sphinx-build -W docs public`` in the clone.

What the sources know is written by the sources: the API from docstrings, the command line, the
magics and the settings from their own help (``generated.py`` beside this file). The tutorial and
the notebooks are executed; a cell that fails ends the build.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))
# The help of commands and tables is as wide as a page, whatever the terminal.
os.environ["COLUMNS"] = "82"

import generated  # noqa: E402 (beside this file)
import highlighting  # noqa: E402 (beside this file)

import kernelfleet  # noqa: E402

project = "kernelfleet"
copyright = "kernelfleet developers"  # noqa: A001 (the name that Sphinx reads)
release = version = kernelfleet.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_generated", "_build"]  # (the former is included by pages)
nitpicky = False

myst_enable_extensions = ["attrs_block", "colon_fence", "deflist"]
myst_heading_anchors = 4
# Quotation marks and dots stay as they are typed: error texts are searched for.
smartquotes = False
# Outputs of several engines have a type of ours beside HTML, which JupyterLab shows as tabs.
suppress_warnings = ["mystnb.unknown_mime_type"]
nb_execution_mode = "auto"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
# These need more than the documentation's extra, and are executed where it is there.
nb_execution_excludepatterns = [
    f"notebooks/{notebook}"
    for notebook, modules in (("07-*", ["distributed"]), ("08-*", ["mpi4py"]), ("09-*", ["jax"]))
    if any(find_spec(module) is None for module in modules)
]

autodoc_member_order = "groupwise"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # (an attribute that is declared and described would be there twice)
# A parameter a line where all of them do not fit in one.
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = f"kernelfleet {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_favicon = "static/icon.svg"
# These stand alone in their part of the site: there is nothing beside them to go to.
html_sidebars = {name: [] for name in ("index", "install", "tutorial", "faq")}
html_theme_options = {
    "logo": {
        "text": f"kernelfleet {release}",
        "image_light": "static/icon.svg",
        "image_dark": "static/icon.svg",
    },
    "header_links_before_dropdown": 8,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_show_sourcelink = False


def _prepare(_app: object) -> None:
    """Write the pages that come from the sources, and take the notebooks in."""
    generated.write_all(DOCS / "_generated")
    there = DOCS / "notebooks"
    shutil.rmtree(there, ignore_errors=True)
    there.mkdir()
    for notebook in sorted((DOCS.parent / "notebooks").glob("*.ipynb")):
        # in the repository a notebook leads to docs/, on the site to the folder above
        text = notebook.read_text(encoding="utf-8").replace("](../docs/", "](../")
        (there / notebook.name).write_text(text, encoding="utf-8")


#: Documents of the repository's root, which forges show, and the pages of the site that have them.
_PAGES = {
    "README.md": "index.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}


def _lead_to_pages(_app: object, _name: str, source: list[str]) -> None:
    """Have links to documents of the root lead to the pages that include them."""
    for document, page in _PAGES.items():
        source[0] = source[0].replace(f"](../{document}", f"]({page}")


def setup(app: object) -> None:
    """Called by Sphinx."""
    app.connect("builder-inited", _prepare)  # type: ignore[attr-defined]
    app.connect("source-read", _lead_to_pages)  # type: ignore[attr-defined]
    for name in ("ipython", "ipython3"):
        app.add_lexer(name, highlighting.CellLexer)  # type: ignore[attr-defined]
