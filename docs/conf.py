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
    "sphinx.ext.viewcode",
    "matplotlib.sphinxext.plot_directive",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "sphinx_copybutton",
    "inventories",
    "mathml",
    "results",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "gallery", "auto_examples/**/*.ipynb"]
default_role = "py:obj"
# A reference that leads nowhere is an error; names of parameters in `backticks` need not lead.
nitpicky = True
nitpick_ignore_regex = [("py:obj", ".*")]
toc_object_entries_show_parents = "hide"

autodoc_member_order = "groupwise"
autodoc_typehints = "none"  # the docstrings give the types, with their shapes
autosummary_generate = True
autosummary_imported_members = True
autosummary_ignore_module_all = False  # a module's page lists what its __all__ does
numpydoc_show_class_members = False  # the templates do, with inherited ones
numpydoc_use_plots = False

# What a reader pastes: the statements, without prompts and without what they print.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

plot_formats = ["svg"]
plot_html_show_formats = False
plot_html_show_source_link = False
plot_rcparams = {"svg.fonttype": "path", "savefig.bbox": "tight", "savefig.pad_inches": 0.05}
plot_apply_rcparams = True

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_examples",
    "within_subsection_order": "gallery.Order",
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
    "changelog": [],
    "contributing": [],
    "auto_examples/*": [],
}
html_theme_options = {
    "logo": {"text": "hierclf"},
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "pygments_light_style": "friendly",
    "pygments_dark_style": "monokai",
}


def without_foreign_labels(app, what, name, obj, options, lines):
    """Turn the references in docstrings inherited from scikit-learn, to its guide, into text."""
    if (getattr(obj, "__module__", None) or "").startswith("sklearn."):
        lines[:] = [re.sub(r":ref:`([^<`]+?) *<[^>`]+>`", r"\1", line) for line in lines]


def without_files(app, what, name, obj, options, lines):
    """Leave out of a module's docstring the table of its files, which is for who reads those."""
    if what == "module":
        lines[:] = [line for line in lines if not re.match(r"``\w+`` {2,}\S", line)]


def setup(app):
    app.connect("autodoc-process-docstring", without_foreign_labels)
    app.connect("autodoc-process-docstring", without_files)
