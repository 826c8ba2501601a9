"""From texts to sequences of token ids, and word vectors to start an embedding from."""

from hierclf.text._reading import load_word_vectors
from hierclf.text._sequences import SequenceVectorizer
from hierclf.text._word_vectors import Coverage, WordVectors

__all__ = ["Coverage", "SequenceVectorizer", "WordVectors", "load_word_vectors"]
