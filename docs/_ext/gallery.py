"""The order of the examples: what most readers come for first."""

ORDER = (
    "plot_docstrings.py",
    "plot_linear.py",
    "plot_few_samples.py",
    "plot_decisions.py",
    "plot_several_labels.py",
    "plot_measures.py",
    "plot_labels.py",
    "plot_text_encoder.py",
    "plot_flat_and_hierarchical.py",
)


class Order:
    """Key to sort the examples of a folder by, as sphinx-gallery wants it."""

    def __init__(self, folder):
        pass  # all examples are in one folder

    def __call__(self, file):
        return ORDER.index(file)
