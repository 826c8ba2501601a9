"""From texts to sequences of token ids, and word vectors to start an embedding from.

``_sequences``     SequenceVectorizer: texts to rows of token ids
``_vocabulary``    which words have an id
``_word_vectors``  WordVectors: words with a vector each, and how much of a text they cover
``_reading``       load_word_vectors: from files and from gensim
"""

from hierclf.text._reading import load_word_vectors
from hierclf.text._sequences import SequenceVectorizer
from hierclf.text._word_vectors import Coverage, WordVectors

__all__ = ["Coverage", "SequenceVectorizer", "WordVectors", "load_word_vectors"]
