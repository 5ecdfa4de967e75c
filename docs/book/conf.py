"""Configuration of Sphinx for the book; build.py runs it on a mirror of the project's pages."""

import sys
from pathlib import Path

from docutils import nodes
from docutils.utils.math import latex2mathml

sys.path.insert(0, str(Path(__file__).parents[2]))
import facesegkit  # noqa: E402

project = "facesegkit"
author = "the authors of facesegkit"
version = release = facesegkit.__version__
html_title = "Face parsing on a laptop CPU"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["extra"]
nb_execution_mode = "off"  # the outputs are those that were saved
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # they would come from another site
nb_code_prompt_show, nb_code_prompt_hide = "Show the set-up", "Hide the set-up"
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 4  # as on GitHub
suppress_warnings = [
    "misc.highlighting_failure",  # JSON and Python in docs may be cut short
    "myst.header",
    "mystnb.unknown_mime_type",
]
toc_object_entries_show_parents = "hide"

default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
add_module_names = False

html_theme = "sphinx_book_theme"
html_static_path = ["static"]
html_css_files = ["book.css"]
html_logo = "static/logo.svg"
html_favicon = "static/logo.svg"
html_copy_source = False
html_show_sourcelink = False
html_math_renderer = "mathml"  # MathJax would come from another site
html_context: dict[str, str] = {}
html_theme_options = {
    "show_toc_level": 2,
    "use_download_button": False,
    "navigation_with_keys": False,
    "navbar_persistent": [],  # the other theme's search field
    "logo": {"text": "facesegkit", "alt_text": "facesegkit, first page"},
}


def add_launch_buttons(app, config):
    """Buttons for Colab and Binder, if the project has an address."""
    repository = config.html_context.get("repository", "")
    if repository:
        config.html_theme_options |= {
            "repository_url": repository,
            "repository_branch": "main",
            "path_to_docs": "",
            "use_repository_button": True,
            "launch_buttons": {
                "binderhub_url": "https://mybinder.org",
                "colab_url": "https://colab.research.google.com",
            },
        }


def as_mathml(self, node):
    """Write a formula as MathML, which all browsers draw without a script."""
    block = isinstance(node, nodes.math_block)
    self.body.append(latex2mathml.tex2mathml(node.astext(), as_block=block))
    raise nodes.SkipNode


def add_live_page(app, config):
    """The mirror has the live page's files, if there are any."""
    extra = app.srcdir / "extra"
    config.html_extra_path = [str(extra)] if extra.exists() else []


def setup(app):
    app.connect("config-inited", add_live_page, priority=100)
    app.connect("config-inited", add_launch_buttons, priority=100)
    app.add_html_math_renderer("mathml", (as_mathml, None), (as_mathml, None))
