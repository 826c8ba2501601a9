"""Links to the documentation of other projects, without a network.

intersphinx finds the page of a name in a file that each project's site offers. Here the files are
made from the names below, which are those that these pages and examples mention: to link to
another, add it.
"""

import importlib.util
import pydoc
import zlib
from pathlib import Path

SKLEARN = """
    sklearn.calibration.CalibratedClassifierCV
    sklearn.datasets.fetch_20newsgroups
    sklearn.ensemble.StackingClassifier
    sklearn.ensemble.VotingClassifier
    sklearn.feature_extraction.text.CountVectorizer
    sklearn.feature_extraction.text.HashingVectorizer
    sklearn.feature_extraction.text.TfidfVectorizer
    sklearn.linear_model.LogisticRegression
    sklearn.metrics.ConfusionMatrixDisplay
    sklearn.metrics.accuracy_score
    sklearn.metrics.average_precision_score
    sklearn.metrics.f1_score
    sklearn.metrics.make_scorer
    sklearn.model_selection.GridSearchCV
    sklearn.model_selection.TunedThresholdClassifierCV
    sklearn.model_selection.cross_val_predict
    sklearn.model_selection.cross_val_score
    sklearn.model_selection.train_test_split
    sklearn.neural_network.MLPClassifier
    sklearn.pipeline.Pipeline
    sklearn.pipeline.make_pipeline
    sklearn.preprocessing.LabelEncoder
    sklearn.svm.LinearSVC
    sklearn.utils.class_weight.compute_class_weight
"""
NUMPY = """
    numpy.argsort numpy.flatnonzero numpy.mean numpy.ndarray numpy.random.default_rng numpy.std
    numpy.unique numpy.where
"""
# Project: its site, the page of a name, and the names.
PROJECTS = {
    "matplotlib": (
        "https://matplotlib.org/stable/",
        "api/_as_gen/{name}.html#{name}",
        "matplotlib.axes.Axes.plot matplotlib.pyplot.show matplotlib.pyplot.subplots",
    ),
    "networkx": (
        "https://networkx.org/documentation/stable/",
        "reference/classes/digraph.html#{name}",
        "networkx.DiGraph",
    ),
    "numpy": ("https://numpy.org/doc/stable/", "reference/generated/{name}.html#{name}", NUMPY),
    "pandas": (
        "https://pandas.pydata.org/docs/",
        "reference/api/{name}.html#{name}",
        "pandas.DataFrame pandas.read_csv",
    ),
    "python": (
        "https://docs.python.org/3/",
        "library/{module}.html#{name}",
        "functools.partial",
    ),
    "sklearn": (
        "https://scikit-learn.org/stable/",
        "modules/generated/{name}.html#{name}",
        SKLEARN,
    ),
    "skorch": (
        "https://skorch.readthedocs.io/en/stable/",
        "callbacks.html#{name}",
        "skorch.callbacks.GradientNormClipping skorch.callbacks.LRScheduler",
    ),
    "torch": (
        "https://docs.pytorch.org/docs/stable/",
        "generated/{name}.html#{name}",
        """
        torch.nn.Linear torch.optim torch.optim.Adam torch.optim.AdamW torch.optim.Optimizer
        torch.optim.SGD torch.optim.SparseAdam torch.set_num_threads
        """,
    ),
}
# Names whose page is another than their project's pattern says.
PAGES = {
    "torch.optim": "optim.html#module-torch.optim",
    "torch.optim.Optimizer": "optim.html#torch.optim.Optimizer",
}


def role(name):
    """Return the kind of a name by its page and its spelling: classes have capitals."""
    if "#module-" in PAGES.get(name, ""):
        return "module"
    *_, owner, last = name.split(".")
    return "class" if last[0].isupper() else "method" if owner[0].isupper() else "function"


def check_exists(name):
    """Check that the installed package has the name, where the package is installed."""
    if importlib.util.find_spec(name.partition(".")[0]) and pydoc.locate(name) is None:
        raise ValueError(f"docs/_ext/inventories.py lists {name}, which does not exist")


def inventory(project, page, names):
    """Return the file that intersphinx reads, of version 2."""
    lines = []
    for name in names:
        address = PAGES.get(name, page).format(name=name, module=name.rpartition(".")[0])
        lines.append(f"{name} py:{role(name)} 1 {address} -\n")
    header = (
        f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n"
        "# The remainder of this file is compressed using zlib.\n"
    )
    return header.encode() + zlib.compress("".join(lines).encode())


def write_inventories(app, config):
    folder = Path(app.doctreedir) / "inventories"
    folder.mkdir(parents=True, exist_ok=True)
    for project, (url, page, listed) in PROJECTS.items():
        names = listed.split()
        for name in names:
            check_exists(name)
        file = folder / f"{project}.inv"
        file.write_bytes(inventory(project, page, names))
        config.intersphinx_mapping[project] = (url, str(file))


def setup(app):
    app.setup_extension("sphinx.ext.intersphinx")
    app.connect("config-inited", write_inventories, priority=700)  # before intersphinx reads it
    return {"parallel_read_safe": True, "parallel_write_safe": True}
