"""The documentation site; `make docs` builds it with Sphinx.

The root of the sources is that of the repository, so that pages outside docs/, as csrc/README.md,
are pages of the site where they are, and relative links are right both here and on a code host.
"""

from fastseq.version import __version__

project = "fastseq"
author = "The fastseq developers"
copyright = author
release = version = __version__

root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "benchmarks/README.md",
    "csrc/README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
]
# folders that need not be searched for pages
exclude_patterns = [".*", "build", "dist", "fastseq", "python", "tests", "**/.ipynb_checkpoints"]

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_nb",
    "sphinx_copybutton",
]

# `name` in a docstring is a link where it is a public name, else code.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [("py:obj", ".*")]

autodoc_default_options = {"members": True, "inherited-members": True}
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # types and shapes are in the docstrings
numpydoc_show_class_members = False  # autodoc lists them

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

nb_execution_mode = "force"  # notebooks are stored without outputs
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_output_stderr = "remove"  # progress bars
nb_merge_streams = True

html_theme = "furo"
html_title = f"fastseq {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_additional_pages = {"index": "redirect.html"}
templates_path = ["templates"]
html_show_sphinx = False
html_copy_source = False
