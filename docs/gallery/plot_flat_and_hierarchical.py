"""
Flat and hierarchical softmax on handwritten digits
===================================================

How does a hierarchical softmax differ from a flat one? Two classifiers with the same network learn
ten digits from a hundred images. The digits are in a tree by the strokes of the pen. This tree does
not follow the pixels, and the flat softmax is ahead.
"""

# %%
# The data
# --------
#
# The leaves are the digits, and their parents three shapes.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier
from hierclf.datasets import load_digits_hierarchy

digits = load_digits_hierarchy()
hierarchy = digits.hierarchy
X_train, X_test, y_train, y_test = train_test_split(
    digits.data / 16, digits.target, train_size=100, stratify=digits.target, random_state=0
)
print(hierarchy)

# %%
# Two classifiers
# ---------------
#
# With equal parameters both start from the same hidden layer and see the same batches. They differ
# in the head alone.

params = {
    "learning_rate_init": 0.003,
    "batch_size": 20,
    "max_iter": 100,
    "n_iter_no_change": 100,
    "random_state": 0,
}
flat = FlatSoftmaxClassifier(hierarchy, **params).fit(X_train, y_train)
tree = HierarchicalSoftmaxClassifier(hierarchy, **params).fit(X_train, y_train)

shape = hierarchy.paths_from_leaves(y_test)[:, 0]
for name, clf in [("flat", flat), ("hierarchical", tree)]:
    digit_accuracy = clf.score(X_test, y_test)
    shape_accuracy = np.mean(clf.predict(X_test, level="parent") == shape)
    print(f"{name:12}  digit {digit_accuracy:.1%}  shape {shape_accuracy:.1%}")

# %%
# The flat softmax is the better one here, and it is in most other splits. The shapes are our idea
# of the digits, and the pixels do not follow it: on average a 1 looks more like an 8 than like a 7,
# and a 9 more like a 3 than like any other closed loop. So the first question that the tree asks is
# a hard one. A tree pays when it groups classes that share something the network can learn.
#
# Probabilities of digits and of shapes
# -------------------------------------
#
# Where the two give different answers, what do they say? Each row is one image. The bars are the
# probabilities of the digits, in the colour of their shape, and what the three shapes sum to.

differ = np.flatnonzero(flat.predict(X_test) != tree.predict(X_test))
rows = differ[np.linspace(0, len(differ) - 1, 4).astype(int)]
parents = hierarchy.level_classes("parent").tolist()
leaves = hierarchy.leaves  # siblings side by side
columns = [list(tree.classes_).index(leaf) for leaf in leaves]
colors = dict(zip(parents, ["#4477aa", "#ee6677", "#228833"], strict=True))

fig, axes = plt.subplots(
    len(rows), 5, figsize=(9, 7.2), width_ratios=[1, 1.9, 0.8, 1.9, 0.8], layout="constrained"
)
for row, (image, *panels) in zip(rows, axes, strict=True):
    image.imshow(X_test[row].reshape(8, 8), cmap="gray_r")
    image.set(xticks=[], yticks=[], ylabel=f"true: {y_test[row]}")
    for clf, (of_leaves, of_parents) in [(flat, panels[:2]), (tree, panels[2:])]:
        proba = clf.predict_proba(X_test[[row]])[0, columns]
        leaf_colors = [colors[hierarchy.parents(leaf)[0]] for leaf in leaves]
        of_leaves.bar(leaves, proba, color=leaf_colors)
        proba = clf.predict_proba(X_test[[row]], level="parent")[0]
        of_parents.bar(parents, proba, color=list(colors.values()))
        of_parents.set(xticks=[], yticklabels=[])
        for ax in (of_leaves, of_parents):
            ax.set_ylim(0, 1)
            ax.spines[["top", "right"]].set_visible(False)
axes[0, 1].set_title("flat: digits")
axes[0, 2].set_title("shapes")
axes[0, 3].set_title("hierarchical: digits")
axes[0, 4].set_title("shapes")
handles = [plt.Rectangle((0, 0), 1, 1, color=color) for color in colors.values()]
_ = fig.legend(handles, parents, loc="outside lower center", ncols=3, frameon=False)

# %%
# Both sets of bars sum to 1, and each shape is the sum of its digits, for the flat classifier as
# for the hierarchical one: it too was given the hierarchy, and adds up the digits.
#
# Which digits does each take for which?
# --------------------------------------
#
# The same test images for both, digits arranged by shape. Mistakes inside of a frame keep the shape
# right.

fig, axes = plt.subplots(1, 2, figsize=(9, 4.4), layout="constrained")
position = {leaf: i for i, leaf in enumerate(leaves)}
for ax, (name, clf) in zip(axes, [("flat", flat), ("hierarchical", tree)], strict=True):
    wrong = np.zeros((10, 10), dtype=int)
    for true, predicted in zip(y_test, clf.predict(X_test), strict=True):
        wrong[position[true], position[predicted]] += true != predicted
    ax.imshow(wrong, cmap="Greys", vmax=30)
    for i, j in np.argwhere(wrong):
        ax.text(j, i, wrong[i, j], ha="center", va="center", fontsize=8,
                color="white" if wrong[i, j] > 15 else "black")  # fmt: skip
    start = 0
    for parent, color in colors.items():
        size = len(hierarchy.children(parent))
        corner = (start - 0.5, start - 0.5)
        ax.add_patch(
            plt.Rectangle(corner, size, size, fill=False, color=color, lw=2, clip_on=False)
        )
        start += size
    ax.set(xticks=range(10), xticklabels=leaves, yticks=range(10), yticklabels=leaves)
    ax.set(title=f"{name}: {wrong.sum()} mistakes", xlabel="predicted", ylabel="true")
