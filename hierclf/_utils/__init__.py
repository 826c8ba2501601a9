"""What several floors use: small helpers that know nothing of networks or estimators of ours.

``sklearn_private``  the underscore names of scikit-learn that we need
``base_estimator``   scikit-learn's base class, with types
``param_object``     the base class of everything that a user gives a classifier as a parameter
``find_hierarchy``   the hierarchy that an estimator was given, or learnt
``proba``            probabilities of classes, checked
``labels``           labels of any kind: told apart, found in a hierarchy, compared
``label_sets``       several labels per sample: their forms told apart, found in a hierarchy
``naming``           what predicted nodes are called
``held_out``         the base class of classifiers that learn from held-out samples
``folds``            how samples are held out from the training of an estimator
``stratified``       one part of the samples held out, each class in proportion
``short_repr``       reprs that cut large parameters short
``blocks``           samples handled some at a time
``memory``           results that are too large for the machine, refused
``threads``          as many torch threads as the work can feed
``rng``              torch's global random generators
"""
