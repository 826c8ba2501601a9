"""Encoders: what turns texts, images or other arrays into the vector that the head reads.

Each is a bundle of parameters, which ``clone`` and a grid search handle; a classifier
builds the network from it in ``fit``.
"""

from hierclf.encoders._base import BaseEncoder
from hierclf.encoders._modules import ModuleEncoder
from hierclf.encoders._transformer import TransformerEncoder
from hierclf.encoders._words import ConvGRUEncoder, LSTMEncoder

__all__ = ["BaseEncoder", "ConvGRUEncoder", "LSTMEncoder", "ModuleEncoder", "TransformerEncoder"]
