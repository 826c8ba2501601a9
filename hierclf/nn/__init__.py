"""The torch floor: tensors in, tensors out; usable without scikit-learn.

``head``         what every head has: hidden state -> log-probability of every node
``node_head``    heads for several labels per sample: each node has a probability of its own
``constraint``   the max-constraint: no node is likelier than the nodes above it
``hmcn``         such a head with a layer for each level
``hiagm``        one with features for each node, which are mixed along the hierarchy
``hitin``        one that adds them up along a coding tree
``himtl``        one that has a head for each branch
``label_graph``  layers over the graph of a hierarchy
``coding_tree``  a graph's nodes in nested groups
``norm``         batch normalisation
``_logits``      probabilities on the scale of logits
``_search``      the likeliest leaves of a tree, found without a look at all
``_search_loops``  the same as loops that numba compiles
``softmax``      the hierarchical softmax of a tree, and the flat one
``path``         the same, trained on the groups on the paths of a batch alone
``_kernels``     its loops, and those of its optimisers, that numba compiles
``branches``     the same with a hidden layer for each branch under the root
``dag``          the hierarchical softmax where a node may have several parents
``losses``       the probabilities that a head gives to targets -> a scalar
``regularization``  recursive regularisation of the softmaxes
``node_loss``    the same for several labels per sample
``groups``       ragged groups of nodes as padded blocks
``growth``       a head over a hierarchy that has grown: where its weights start
``linear``       affine maps over dense and over sparse rows
``margins``      linear margins over the same rows, solved to their optimum
``_margin_solvers``  three ways there, for a block of columns
``_margin_loops``  one of them as loops that numba compiles
``compact``      a head over the features that occur below each node
``_compact_fit``  the samples and features of each group, whose margins are solved by themselves
``_compact_loops``  one way, and the search for the likeliest leaves, as loops that numba compiles
``_compact_newton``  the other ways, for many groups at once
``text``         token ids -> a vector for each text
``transformer``  the same with a pretrained transformer
``network``      encoder and hidden layers joined to a head
``dropout``      dropout from a generator of its own
``optim``        the optimiser of small networks
``lazy_optim``   optimisers for sparse gradients
``newton``       Newton's method for linear models
"""

from hierclf.nn.branches import BranchedSoftmax
from hierclf.nn.constraint import MaxConstraint
from hierclf.nn.dag import DAGSoftmax
from hierclf.nn.groups import PathSteps
from hierclf.nn.head import Head, SoftmaxHead, TopLeaves
from hierclf.nn.hiagm import HiAGMAttentionHead, HiAGMPropagationHead
from hierclf.nn.himtl import HiMTLHead
from hierclf.nn.hitin import HiTINHead
from hierclf.nn.hmcn import HMCNHead
from hierclf.nn.label_graph import HierarchyGCN, HierarchyTreeLSTM, edge_priors
from hierclf.nn.lazy_optim import LazyAdamW, LazyNovoGrad, LazyOptimizer, LazyRowwiseAdagrad
from hierclf.nn.linear import CSRRows, FeatureLinear, Linear
from hierclf.nn.losses import PathLoss, SoftLabelLoss
from hierclf.nn.network import HierarchyNetwork
from hierclf.nn.newton import NewtonCG
from hierclf.nn.node_head import LinearNodeHead, NodeHead, NodeScores, OutputRows, TrainedOutput
from hierclf.nn.node_loss import NodeLoss
from hierclf.nn.norm import BatchNorm
from hierclf.nn.optim import LeanAdamW
from hierclf.nn.path import PathSoftmax
from hierclf.nn.regularization import RecursiveRegularization
from hierclf.nn.softmax import FlatSoftmax, HierarchicalSoftmax
from hierclf.nn.text import ConvGRU, RaggedRNN, RecurrentEncoder, WordEmbedding
from hierclf.nn.transformer import TransformerText

__all__ = [
    "BatchNorm",
    "BranchedSoftmax",
    "CSRRows",
    "ConvGRU",
    "DAGSoftmax",
    "FeatureLinear",
    "FlatSoftmax",
    "HMCNHead",
    "Head",
    "HiAGMAttentionHead",
    "HiAGMPropagationHead",
    "HiMTLHead",
    "HiTINHead",
    "HierarchicalSoftmax",
    "HierarchyGCN",
    "HierarchyNetwork",
    "HierarchyTreeLSTM",
    "LazyAdamW",
    "LazyNovoGrad",
    "LazyOptimizer",
    "LazyRowwiseAdagrad",
    "LeanAdamW",
    "Linear",
    "LinearNodeHead",
    "MaxConstraint",
    "NewtonCG",
    "NodeHead",
    "NodeLoss",
    "NodeScores",
    "OutputRows",
    "PathLoss",
    "PathSoftmax",
    "PathSteps",
    "RaggedRNN",
    "RecurrentEncoder",
    "RecursiveRegularization",
    "SoftLabelLoss",
    "SoftmaxHead",
    "TopLeaves",
    "TrainedOutput",
    "TransformerText",
    "WordEmbedding",
    "edge_priors",
]
