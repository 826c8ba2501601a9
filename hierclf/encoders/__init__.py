"""Encoders: they turn texts, images or other arrays into the vector that the head reads.

An encoder is an object with parameters, which ``clone`` and a grid search can set. ``fit`` of a
classifier builds the network from it.

``_base_encoder``         what encoders share, and the class to derive your own from
``_word_encoders``        LSTMEncoder and ConvGRUEncoder, which learn a vector for each word
``_transformer_encoder``  TransformerEncoder, a pretrained transformer
``_module_encoder``       ModuleEncoder, any torch module; `as_encoder`, which makes one
"""

from hierclf.encoders._base_encoder import BaseEncoder
from hierclf.encoders._module_encoder import ModuleEncoder
from hierclf.encoders._transformer_encoder import TransformerEncoder
from hierclf.encoders._word_encoders import ConvGRUEncoder, LSTMEncoder

__all__ = ["BaseEncoder", "ConvGRUEncoder", "LSTMEncoder", "ModuleEncoder", "TransformerEncoder"]
