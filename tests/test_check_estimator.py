"""scikit-learn's own checks, all of them, none expected to fail.

Run with ``SCIPY_ARRAY_API=1`` as well: one check is skipped without it.
"""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from hierclf import (
    FlatSoftmaxClassifier,
    HierarchicalLinearClassifier,
    HierarchicalMultilabelClassifier,
    HierarchicalSoftmaxClassifier,
)
from hierclf.calibration import TemperatureScalingClassifier
from hierclf.decisions import HierarchicalThresholdClassifierCV, InformationGainClassifier
from hierclf.induction import BalancedHierarchy

# The checks set no random_state inside of another estimator.
LINEAR = FlatSoftmaxClassifier(
    hidden_layer_sizes=(),
    learning_rate_init=0.05,
    max_iter=10,
    n_iter_no_change=10,
    random_state=0,
)
SEVERAL = HierarchicalMultilabelClassifier(
    hidden_layer_sizes=(),
    learning_rate_init=0.05,
    max_iter=10,
    n_iter_no_change=10,
    random_state=0,
)
# Repeated samples and weights are to give the same to seven digits.
OPTIMUM = {"optimizer": "newton", "weight_decay": 0.01, "tol": 1e-15}


# The checks train on few rows for few epochs, and do not expect to be told.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:accuracy=.* is out of reach:UserWarning")
@pytest.mark.filterwarnings("ignore:The least populated class:UserWarning")
@parametrize_with_checks(
    [
        FlatSoftmaxClassifier(max_iter=30),
        HierarchicalSoftmaxClassifier(max_iter=30),
        HierarchicalSoftmaxClassifier(BalancedHierarchy(branching=2), max_iter=30),
        HierarchicalLinearClassifier(),
        HierarchicalLinearClassifier(BalancedHierarchy(branching=2)),
        HierarchicalLinearClassifier(BalancedHierarchy(branching=2), against="siblings"),
        HierarchicalMultilabelClassifier(max_iter=30),
        HierarchicalMultilabelClassifier(BalancedHierarchy(branching=2), max_iter=30),
        HierarchicalSoftmaxClassifier(
            BalancedHierarchy(branching=2),
            branch_hidden_size=10,
            recursive_regularization=1e-3,
            max_iter=30,
        ),
        FlatSoftmaxClassifier(**OPTIMUM),
        HierarchicalSoftmaxClassifier(BalancedHierarchy(branching=2), **OPTIMUM),
        HierarchicalThresholdClassifierCV(SEVERAL, cv=2),
        InformationGainClassifier(LINEAR, accuracy=0.6, cv=2),
        TemperatureScalingClassifier(LINEAR, cv=2),
    ]
)
def test_scikit_learn_check(estimator, check):
    check(estimator)
