"""How Sphinx builds the documentation: `make docs`. It needs no network, nor do its pages."""

import re
import sys
from pathlib import Path

import hierclf

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "hierclf"
author = copyright = "The hierclf developers"
version = release = hierclf.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "mathml",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "gallery", "auto_examples/**/*.ipynb"]
default_role = "py:obj"
toc_object_entries_show_parents = "hide"

autodoc_member_order = "groupwise"
autodoc_typehints = "none"  # the docstrings give the types, with their shapes
autosummary_generate = True
numpydoc_show_class_members = False  # the templates do, with inherited ones
numpydoc_use_plots = False

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_examples",
    "doc_module": "hierclf",
    "reference_url": {"hierclf": None},
    "backreferences_dir": "generated/backreferences",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "image_srcset": ["2x"],
}

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = f"hierclf {release}"
html_static_path = ["_static"]
html_css_files = ["hierclf.css"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {
    "getting_started": [],
    "api": [],
    "changelog": [],
    "contributing": [],
    "auto_examples/*": [],
}
html_theme_options = {
    "logo": {"text": "hierclf"},
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "pygments_light_style": "friendly",
}


def without_foreign_labels(app, what, name, obj, options, lines):
    """Turn the references in docstrings inherited from scikit-learn, to its guide, into text."""
    if (getattr(obj, "__module__", None) or "").startswith("sklearn."):
        lines[:] = [re.sub(r":ref:`([^<`]+?) *<[^>`]+>`", r"\1", line) for line in lines]


def setup(app):
    app.connect("autodoc-process-docstring", without_foreign_labels)
