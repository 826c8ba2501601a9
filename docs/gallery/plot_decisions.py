"""
When the leaf is in doubt: decisions and calibration
====================================================

One model, several answers. From the same probabilities a decision may name the likeliest class, the
one whose mistakes are mildest, or stop at an inner node. And are the probabilities to be trusted?
"""

# %%
# The data
# --------
#
# Handwritten digits under noise: some can be told apart, others cannot.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier
from hierclf.calibration import TemperatureScalingClassifier
from hierclf.datasets import load_digits_hierarchy
from hierclf.decisions import Argmax, InformationGainClassifier, MinimumRisk, Threshold, TopDown
from hierclf.metrics import any_depth_accuracy_score, information_gain_score, tree_distance
from hierclf.plotting import AccuracySpecificityDisplay, PredictionPathDisplay

digits = load_digits_hierarchy()
hierarchy = digits.hierarchy
rng = np.random.default_rng(0)
X = digits.data / 16 + rng.normal(scale=0.2, size=digits.data.shape)
y = digits.target
X_train, X_rest, y_train, y_rest = train_test_split(
    X, y, train_size=500, stratify=y, random_state=0
)
X_held_out, X_test, y_held_out, y_test = train_test_split(
    X_rest, y_rest, train_size=500, stratify=y_rest, random_state=0
)

settings = {
    "learning_rate_init": 0.005,
    "max_iter": 30,
    "n_iter_no_change": 30,
    "random_state": 0,
}
clf = HierarchicalSoftmaxClassifier(hierarchy, **settings).fit(X_train, y_train)
flat = FlatSoftmaxClassifier(hierarchy, **settings).fit(X_train, y_train)

# %%
# One row
# -------
#
# What the model thought of a row that it is not sure of: at each step the child that was chosen and
# its nearest rivals, and the probability of the path so far.

doubtful = np.argsort(clf.predict_proba(X_test).max(axis=1))[[5]]
PredictionPathDisplay.from_estimator(clf, X_test[doubtful])
plt.show()

# %%
# Decisions
# ---------
#
# "right" counts an answer that is the true digit or its shape; "information" is what such answers
# say, 1 for a digit; "distance" is the mean number of edges to the true digit.

decisions = {
    "argmax": Argmax(),
    "top-down": TopDown(),
    "least tree distance, digits": MinimumRisk(),
    "least tree distance, any node": MinimumRisk(over="nodes"),
    "threshold 0.8": Threshold(0.8),
}
for name, decision in decisions.items():
    y_pred = clf.set_params(decision=decision).predict(X_test)
    right = any_depth_accuracy_score(y_test, y_pred, hierarchy=hierarchy)
    information = information_gain_score(y_test, y_pred, hierarchy=hierarchy)
    distance = tree_distance(y_test, y_pred, hierarchy=hierarchy)
    print(f"{name:30} right {right:.3f}  information {information:.3f}  distance {distance:.3f}")
clf = clf.set_params(decision="argmax")

# %%
# Accuracy against specificity
# ----------------------------
#
# All thresholds at once, for both heads. No threshold makes this model right 95 % of the time: it
# has to name some shape, and takes a wrong one too often.
#
# An :class:`~hierclf.decisions.InformationGainClassifier` may be given a word for such rows. It
# counts as right and says nothing; all else is as specific as the held-out rows allow.

display = AccuracySpecificityDisplay.from_estimator(clf, X_test, y_test, name="hierarchical")
AccuracySpecificityDisplay.from_estimator(flat, X_test, y_test, name="flat", ax=display.ax_)
safe = InformationGainClassifier(clf, accuracy=0.95, reject_label="unknown", cv="prefit")
y_safe = safe.fit(X_held_out, y_held_out).predict(X_test)
right = any_depth_accuracy_score(y_test, y_safe, hierarchy=hierarchy, reject_label="unknown")
known = y_safe != "unknown"
leaf_counts = hierarchy.leaf_counts[hierarchy.node_indices(y_safe[known])]
specificity = np.sum(1 - np.log2(leaf_counts) / np.log2(len(hierarchy.leaves))) / len(y_test)
print(f"unknown {1 - known.mean():.0%}, right {right:.1%}")
display.ax_.plot(specificity, right, "kx", markersize=10, label="asked for 95 %, with “unknown”")
display.ax_.legend()
plt.show()

# %%
# Calibration
# -----------
#
# Of the rows that get 0.8, four of five should be right. The model is too sure of itself;
# temperatures fitted on the held-out rows mend that, most of all for the shapes, and leave every
# shape the sum of its digits.

calibrated = TemperatureScalingClassifier(clf, cv="prefit").fit(X_held_out, y_held_out)
print("temperatures:", calibrated.temperatures_.round(2))

fig, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained", sharey=True)
bins = np.linspace(0, 1, 11)
for ax, level in zip(axes, (0, 1), strict=True):
    names = hierarchy.level_classes(level)
    truth = hierarchy.paths_from_leaves(y_test)[:, level]
    for name, model, color in (("before", clf, "#ee6677"), ("after", calibrated, "#4477aa")):
        proba = hierarchy.aggregate(model.predict_proba(X_test), model.classes_, level)
        confidence, right = proba.max(axis=1), names[proba.argmax(axis=1)] == truth
        bin_of = np.digitize(confidence, bins[1:-1])
        used = [b for b in range(10) if (bin_of == b).sum() >= 10]
        ax.plot(
            [confidence[bin_of == b].mean() for b in used],
            [right[bin_of == b].mean() for b in used],
            marker="o",
            color=color,
            label=name,
        )
    ax.plot([0.3, 1], [0.3, 1], color="0.8", zorder=0)
    ax.set(title=f"level {level}", xlabel="probability of the likeliest node")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("share that is right")
axes[0].legend(frameon=False)
plt.show()
