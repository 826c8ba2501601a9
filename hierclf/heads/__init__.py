"""Heads for several labels per sample: give one as ``head=`` of a classifier.

A head is an object with parameters, which a grid search can set: ``head__dropout``. It turns the
last hidden state into a score for each node of the hierarchy.

``_base_head``  the class to derive your own from; LinearHead; `as_head`, which reads what is given
``_hmcn``       HMCN, with a layer and an output for each level
``_hiagm``      HiAGM, which mixes features of the nodes along the hierarchy
``_hitin``      HiTIN, which adds features of the nodes up along a coding tree
``_himtl``      HiMTL, which puts any of them on each branch
"""

from hierclf.heads._base_head import BaseNodeHead, LinearHead, as_head
from hierclf.heads._hiagm import HiAGM
from hierclf.heads._himtl import HiMTL
from hierclf.heads._hitin import HiTIN
from hierclf.heads._hmcn import HMCN

__all__ = ["HMCN", "BaseNodeHead", "HiAGM", "HiMTL", "HiTIN", "LinearHead", "as_head"]
