"""The classifiers, and what a fit is, told in the order in which it happens.

``_hierarchical``  HierarchicalSoftmaxClassifier: its parameters, and its head
``_flat``          FlatSoftmaxClassifier, the baseline
``_linear``        HierarchicalLinearClassifier, which is solved and not trained
``_margin_tree``   the margins of its nodes, and how leaves add them up
``_multilabel``    HierarchicalMultilabelClassifier: its parameters, y and predictions
``_base``          what all of them have: the hierarchy, X, and a network that predicts
``_single_label``  y: one label or path per sample; predictions, whatever is trained
``_network``       a network that is trained, whatever y means: the steps of a fit
``_checks``        what is refused before any work
``_features``      X: checked, and turned into what the network reads
``_softmax``       networks with one label per sample: what training takes from the labels
``_partial_fit``   a block of samples at a time, over a hierarchy that may grow
``_stream``        the labels that the samples of a stream may have, and their number so far
``_thresholds``    the probability from which on a node is predicted
``_targets``       the node, and the weight, of each sample; the classes
``_computation``   whether a step computes all softmaxes, or those on the paths of its batch
``_batches``       samples cut into batches of tensors, and held out
``_net``           the skorch net, the only file that imports skorch
``_passes``        a network applied to rows, block by block
``_optimizer``     which optimiser moves the weights, and what "auto" stands for
``_warm_start``    whether a fit may go on from the last one
"""

from hierclf.classifiers._flat import FlatSoftmaxClassifier
from hierclf.classifiers._hierarchical import HierarchicalSoftmaxClassifier
from hierclf.classifiers._linear import HierarchicalLinearClassifier
from hierclf.classifiers._multilabel import HierarchicalMultilabelClassifier

__all__ = [
    "FlatSoftmaxClassifier",
    "HierarchicalLinearClassifier",
    "HierarchicalMultilabelClassifier",
    "HierarchicalSoftmaxClassifier",
]
