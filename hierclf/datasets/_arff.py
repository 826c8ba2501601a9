"""ARFF files whose labels form a hierarchy: the format of CLUS and of the sets shared in it."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray
from scipy.io import arff

from hierclf.datasets._bunches import ArffArrays, ArffBunch
from hierclf.hierarchy import Hierarchy

# The name of an attribute, quoted or not, and its type.
_ATTRIBUTE = re.compile(r"""@attribute\s+('[^']*'|"[^"]*"|\S+)\s+(.+)""", re.IGNORECASE)
_HIERARCHICAL = re.compile(r"hierarchical\b\s*", re.IGNORECASE)
# Within a word it is a character as others are, as in the name of a solution of 2%.
_COMMENT = re.compile(r"(^|\s)%.*")
_LABEL_SEPARATOR = "@"


@overload
def load_arff_hierarchy(
    path: str | os.PathLike[str],
    *,
    kind: Literal["auto", "tree", "dag"] = ...,
    sep: str = ...,
    return_X_y: Literal[False] = ...,
) -> ArffBunch: ...
@overload
def load_arff_hierarchy(
    path: str | os.PathLike[str],
    *,
    kind: Literal["auto", "tree", "dag"] = ...,
    sep: str = ...,
    return_X_y: Literal[True],
) -> ArffArrays: ...
def load_arff_hierarchy(
    path: str | os.PathLike[str],
    *,
    kind: Literal["auto", "tree", "dag"] = "auto",
    sep: str = "/",
    return_X_y: bool = False,
) -> ArffBunch | ArffArrays:
    """Load an ARFF file with a hierarchical class, as CLUS [1]_ reads them.

    Its last attribute is of the type ``hierarchical``, which is followed by the nodes of the
    hierarchy. Each sample has one label or several.

    Parameters
    ----------
    path : str or path-like
        The file; it may be compressed by gzip (``.gz``).
    kind : {"auto", "tree", "dag"}, default="auto"
        What the declaration lists. For "tree" these are paths such as ``01/01/03``; that is the
        name of the node, too. For "dag" they are edges, ``parent/child``. "auto" takes them for
        edges where all have two parts and some begin with ``root/``.
    sep : str, default="/"
        Stands between the parts of a path or edge.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    data : Bunch
        An object with the attributes

        data : ndarray of shape (n_samples, n_features), float64
            Numbers as they are, NaN where one is missing. A nominal attribute has a column for
            each of its values, which holds 1 where the sample has that value; all are 0 where it
            is missing.
        target : list of n_samples lists of str
            The labels of each sample, as the file gives them: without the nodes above them.
        hierarchy : Hierarchy
            The nodes that the file declares.
        feature_names : list of str
            The attributes; ``name=value`` for a column of a nominal one.
    (data, target) : tuple, if ``return_X_y`` is True

    Raises
    ------
    ValueError
        If the last attribute is not hierarchical, a label is no node, or a row is not as the
        attributes say.

    References
    ----------
    .. [1] C. Vens et al., "Decision trees for hierarchical multi-label classification", Machine
       Learning 73, 2008.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from hierclf.datasets import load_arff_hierarchy
    >>> text = '''@relation genes
    ... @attribute size numeric
    ... @attribute shape {round, long}
    ... @attribute class hierarchical 1,1/1,1/2,2
    ... @data
    ... 0.5, long, 1/2@2
    ... ?, ?, 1
    ... '''
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "genes.arff")
    ...     _ = path.write_text(text)
    ...     genes = load_arff_hierarchy(path)
    >>> genes.feature_names
    ['size', 'shape=round', 'shape=long']
    >>> genes.data
    array([[0.5, 0. , 1. ],
           [nan, 0. , 0. ]])
    >>> genes.target
    [['1/2', '2'], ['1']]
    >>> genes.hierarchy.to_indicator(genes.target)  # the nodes above, too
    array([[1, 1, 0, 1],
           [1, 0, 0, 0]], dtype=int8)
    """
    if kind not in ("auto", "tree", "dag"):
        raise ValueError(f"kind must be 'auto', 'tree' or 'dag', got {kind!r}")
    path = Path(path)
    attributes, declaration, rows = _parts(path)
    hierarchy = _hierarchy(declaration, kind, sep)
    features, labels = [], []
    for number, row in rows:
        values, _, of_class = row.rpartition(",")
        n_values = len(next(csv.reader([values], quotechar="'", skipinitialspace=True)))
        if n_values != len(attributes):
            raise ValueError(
                f"{path.name}, line {number}: there are {n_values} values before the class, and "
                f"{len(attributes)} attributes"
            )
        found = [label.strip(" \t'\"") for label in of_class.split(_LABEL_SEPARATOR)]
        for label in found:
            if label not in hierarchy:
                raise ValueError(
                    f"{path.name}, line {number}: {label!r} is no node of the class attribute"
                )
        features.append(values)
        labels.append(found)
    data, names = _features(attributes, features, path)
    if return_X_y:
        return data, labels
    return ArffBunch(data=data, target=labels, hierarchy=hierarchy, feature_names=names)


def _parts(path: Path) -> tuple[list[tuple[str, str]], str, list[tuple[int, str]]]:
    """Return name and type of all attributes but the last, what that declares, and the rows."""
    opened: Any = gzip.open if path.suffix == ".gz" else open
    attributes: list[tuple[str, str]] = []
    rows: list[tuple[int, str]] = []
    declaration = None
    in_data = False
    with opened(path, "rt", encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            line = _COMMENT.sub("", line).strip()
            if not line:
                continue
            attribute = None if in_data else _ATTRIBUTE.match(line)
            if not attribute and line.lower().startswith("@attribute"):
                raise ValueError(f"{path.name}, line {number}: {line!r} has no name or no type")
            if in_data:
                if line.startswith("{"):
                    raise ValueError(
                        f"{path.name}, line {number}: sparse rows are not read; give all values"
                    )
                rows.append((number, line))
            elif line.lower().startswith("@data"):
                in_data = True
            elif attribute and declaration is not None:
                raise ValueError(
                    f"{path.name}, line {number}: the hierarchical attribute must be the last"
                )
            elif attribute and _HIERARCHICAL.match(attribute[2]):
                declaration = _HIERARCHICAL.sub("", attribute[2], count=1)
            elif attribute:
                attributes.append((attribute[1].strip("'\""), attribute[2]))
    if declaration is None:
        raise ValueError(f"{path.name} has no attribute of the type hierarchical")
    return attributes, declaration, rows


def _hierarchy(declaration: str, kind: str, sep: str) -> Hierarchy:
    """Read the declared nodes: paths of a tree, or the edges of a graph."""
    entries = [entry.strip() for entry in declaration.split(",") if entry.strip()]
    parts = [entry.split(sep) for entry in entries]
    if kind == "auto":
        are_edges = all(len(part) == 2 for part in parts)
        kind = "dag" if are_edges and any(part[0] == "root" for part in parts) else "tree"
    if kind == "dag":
        wrong = [entry for entry, part in zip(entries, parts, strict=True) if len(part) != 2]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no edge: give parent{sep}child, or kind='tree'")
        return Hierarchy.from_edges([(parent, child) for parent, child in parts])
    # The name of a node is its whole path, since the last part alone occurs in several branches.
    paths = [[sep.join(part[: i + 1]) for i in range(len(part))] for part in parts]
    return Hierarchy.from_paths(paths)


def _features(
    attributes: list[tuple[str, str]], rows: list[str], path: Path
) -> tuple[NDArray[np.float64], list[str]]:
    """Read what stands before the class, by scipy, as numbers."""
    # Numbers for names: scipy wants them to differ, and two attributes may have one name.
    header = [f"@attribute {i} {kind}" for i, (_, kind) in enumerate(attributes)]
    try:
        records, read = arff.loadarff(
            io.StringIO("\n".join(["@relation features", *header, "@data", *rows]))
        )
    except (ValueError, NotImplementedError, IndexError) as error:
        raise ValueError(f"{path.name}: {error}") from error
    columns: list[NDArray[np.float64]] = []
    names: list[str] = []
    for i, (name, _) in enumerate(attributes):
        kind, values = read[str(i)]
        if kind == "nominal" and values is not None:
            columns += [(records[str(i)] == value.encode()).astype(np.float64) for value in values]
            names += [f"{name}={value}" for value in values]
        else:
            columns.append(records[str(i)].astype(np.float64))
            names.append(name)
    return np.column_stack(columns), names
