"""A head that goes on over another hierarchy: which weights each of its rows starts from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hierclf.hierarchy._arrays import gather

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hierclf.hierarchy import Hierarchy
    from hierclf.nn.head import SoftmaxHead
    from hierclf.nn.network import HierarchyNetwork

    _Indices = NDArray[np.intp]


class RowMap(NamedTuple):
    """Where the rows of new weights come from: from old ones, or the mean of others.

    A row that is in none of these starts at zero, or as it is drawn.

    Attributes
    ----------
    n_rows : int
        How many rows there are now.
    carried, sources : ndarray of shape (n_carried,)
        The new row ``carried[i]`` is the old row ``sources[i]``. If a row is carried several
        times, it is the mean of its sources.
    filled, means : ndarray of shape (n_filled,)
        The new row ``filled[i]`` is the mean number ``means[i]``.
    terms, term_means : ndarray of shape (n_terms,)
        The new row ``terms[i]``, which is carried, is in the mean number ``term_means[i]``.
    is_drawn : bool
        Whether all other rows start as those of new weights do, and not at zero.
    """

    n_rows: int
    carried: _Indices
    sources: _Indices
    filled: _Indices
    means: _Indices
    terms: _Indices
    term_means: _Indices
    is_drawn: bool = False

    def part(self, new: slice, old: slice) -> RowMap:
        """Return the map of a run of rows, all of which come from a run of the old ones."""
        carried, filled, terms = (
            (rows >= new.start) & (rows < new.stop)
            for rows in (self.carried, self.filled, self.terms)
        )
        return self._replace(
            n_rows=new.stop - new.start,
            carried=self.carried[carried] - new.start,
            sources=self.sources[carried] - old.start,
            filled=self.filled[filled] - new.start,
            means=self.means[filled],
            terms=self.terms[terms] - new.start,
            term_means=self.term_means[terms],
        )

    def apply(self, old: Tensor, dim: int = 0, drawn: Tensor | None = None) -> Tensor:
        """Make the new rows of a tensor.

        Parameters
        ----------
        old : Tensor
            Weights, or what an optimiser keeps for each of them.
        dim : int
            The dimension along which the rows lie.
        drawn : Tensor, optional
            Of the new shape: where rows start that come from no others. None is zero.

        Returns
        -------
        Tensor
            Of the same type. Whole numbers are rounded.
        """
        values = old.transpose(0, dim)
        values = values if old.is_floating_point() else values.double()
        new = _mean_rows(values, self.carried, self.sources, self.n_rows)
        if len(self.filled):
            means = _mean_rows(new, self.term_means, self.terms, int(self.term_means.max()) + 1)
            new.index_copy_(0, _on(new, self.filled), means[_on(new, self.means)])
        if drawn is not None:
            from_others = np.append(self.carried, self.filled)
            rest = _on(new, np.setdiff1d(np.arange(self.n_rows), from_others))
            new.index_copy_(0, rest, drawn.transpose(0, dim).index_select(0, rest))
        new = new if old.is_floating_point() else new.round().to(old.dtype)
        return new.transpose(0, dim).contiguous()


def _mean_rows(values: Tensor, rows: _Indices, sources: _Indices, n_rows: int) -> Tensor:
    """Put the mean of some rows in each of several places, and zero where there are none."""
    sums = values.new_zeros(n_rows, *values.shape[1:])
    sums.index_add_(0, _on(values, rows), values.index_select(0, _on(values, sources)))
    counts = torch.from_numpy(np.bincount(rows, minlength=n_rows).clip(1)).to(sums)
    return sums.div_(counts.view(-1, *[1] * (sums.ndim - 1)))


def _on(values: Tensor, indices: _Indices) -> Tensor:
    return torch.from_numpy(indices).to(values.device)


def map_edges(before: Hierarchy, after: Hierarchy) -> RowMap:
    """Map the rows of a head that has one for each edge; in a tree that is one for each node.

    An edge that was there keeps its row. An edge to a node that was somewhere else has that
    node's row, the mean of them if it had several parents. The row of a new node is the mean of
    its siblings'; zero if none of them was there.

    Parameters
    ----------
    before, after : Hierarchy
        The hierarchies. Nodes of one name are the same, and the roots are.

    Returns
    -------
    RowMap

    Examples
    --------
    >>> import torch
    >>> from hierclf import Hierarchy
    >>> before = Hierarchy.from_dict({"pet": ["cat", "dog"], "car": []})
    >>> after = Hierarchy.from_dict({"pet": ["cat", "cow", "dog"], "car": ["bus"]})
    >>> before.nodes, after.nodes
    (('car', 'pet', 'cat', 'dog'), ('car', 'pet', 'bus', 'cat', 'cow', 'dog'))
    >>> map_edges(before, after).apply(torch.tensor([3.0, 4.0, 2.0, 8.0]))
    tensor([3., 4., 0., 2., 5., 8.])
    """
    old, new, ids = before.arrays, after.arrays, _ids_before(before, after)
    parents, children = ids[new.edge_parents + 1], ids[new.edge_children + 1]
    codes = (old.edge_parents + 1) * (len(before) + 1) + old.edge_children + 1  # in order
    wanted = parents * (len(before) + 1) + children
    place = np.searchsorted(codes, wanted).clip(max=len(codes) - 1)
    is_same = (parents >= 0) & (children > 0) & (codes[place] == wanted)
    moved = np.flatnonzero((children > 0) & ~is_same)
    by_child = np.argsort(old.edge_children, kind="stable")
    sources, counts = gather(old.parent_offsets, by_child, children[moved] - 1)
    same = np.flatnonzero(is_same)
    carried = np.concatenate([same, np.repeat(moved, counts)])
    groups = np.repeat(np.arange(len(new.inner_indices)), np.diff(new.group_offsets))
    is_known = children > 0
    return _with_means(
        carried, np.concatenate([place[same], sources]), np.where(is_known, -1, groups), groups
    )


def map_leaves(before: Hierarchy, after: Hierarchy) -> RowMap:
    """Map the rows of a head that has one for each leaf.

    A leaf that was one keeps its row. Any other starts from the nearest node above it that was
    a leaf itself, whose row it has, or has leaves that keep theirs, whose mean it is.

    Parameters
    ----------
    before, after : Hierarchy
        The hierarchies. Nodes of one name are the same, and the roots are.

    Returns
    -------
    RowMap

    Examples
    --------
    >>> import torch
    >>> from hierclf import Hierarchy
    >>> before = Hierarchy.from_dict({"pet": ["cat", "dog"], "car": []})
    >>> after = Hierarchy.from_dict({"pet": ["cat", "cow", "dog"], "car": ["bus"], "tree": []})
    >>> before.leaves, after.leaves
    (('car', 'cat', 'dog'), ('tree', 'bus', 'cat', 'cow', 'dog'))
    >>> map_leaves(before, after).apply(torch.tensor([1.0, 2.0, 8.0]))  # the tree: of all
    tensor([5., 1., 2., 5., 8.])
    """
    column = np.full(len(before) + 1, -1)
    column[before.leaf_indices + 1] = np.arange(len(before.leaf_indices))
    ids = _ids_before(before, after)
    former = np.where(ids > 0, column[ids], -1)[1:]  # the old row of each node now
    source = former[after.leaf_indices]
    items, above = after.ancestor_pairs(after.leaf_indices)
    is_kept = source[items] >= 0
    has_kept = np.zeros(len(after), dtype=bool)
    has_kept[above[is_kept]] = True
    useful = np.flatnonzero(~is_kept & ((former[above] >= 0) | has_kept[above]))
    useful = useful[np.lexsort((after.depths[above[useful]], items[useful]))]
    nearest = np.full(len(source), len(after))  # the root, if nothing nearer helps
    nearest[items[useful]] = above[useful]  # the last of each item, which is the deepest
    inherits = (source < 0) & (np.append(former, -1)[nearest] >= 0)
    source[inherits] = former[nearest[inherits]]
    carried = np.flatnonzero(source >= 0)
    # A mean is over the leaves that keep their rows, of a node or of all.
    kept = np.flatnonzero(~inherits & (source >= 0))
    terms = np.concatenate([items[is_kept], kept])
    term_means = np.concatenate([above[is_kept], np.full(len(kept), len(after))])
    wanted = np.where(source >= 0, -1, nearest)
    return _with_means(carried, source[carried], wanted, term_means, terms)


def _ids_before(before: Hierarchy, after: Hierarchy) -> _Indices:
    """Return, for each id of a hierarchy, that in the one before, or -1; 0 is the root."""
    known = {node: i for i, node in enumerate(before.nodes, 1)}
    ids = [known.get(node, -1) for node in after.nodes]
    return np.array([0, *ids], dtype=np.intp)


def _with_means(
    carried: _Indices,
    sources: _Indices,
    wanted: _Indices,
    groups: _Indices,
    members: _Indices | None = None,
) -> RowMap:
    """Put together a map.

    Parameters
    ----------
    carried, sources : ndarray
        As in the map.
    wanted : ndarray of shape (n_rows,)
        The group whose mean each row is to start from; -1 for those that are carried.
    groups, members : ndarray of shape (n_members,)
        The group that each member is in; without ``members`` those are all the rows.
    """
    members = np.arange(len(wanted)) if members is None else members
    is_term = np.isin(members, carried) & np.isin(groups, wanted)
    found, term_means = np.unique(groups[is_term], return_inverse=True)
    filled = np.flatnonzero(np.isin(wanted, found))
    return RowMap(
        n_rows=len(wanted),
        carried=carried,
        sources=sources,
        filled=filled,
        means=np.searchsorted(found, wanted[filled]),
        terms=members[is_term],
        term_means=term_means.reshape(-1),
    )


def grow(
    network: HierarchyNetwork,
    head: Callable[..., SoftmaxHead],
    before: Hierarchy,
    after: Hierarchy,
    optimizer: torch.optim.Optimizer | None = None,
) -> None:
    """Give a network a head over another hierarchy, which goes on with the old weights.

    The parameters stay the same objects with other rows, so that an optimiser goes on with
    them. What it keeps for each row is carried over as the weights are: a new row has the mean
    of its siblings' state, zero if they have none. For AdamW that is the better start. Its bias
    correction is over by then, so that from moments of zero a row moves by three times the
    learning rate at its first step, and by up to seven in the next if its gradient stays the
    same; a second moment that is larger makes the steps shorter.

    Parameters
    ----------
    network : HierarchyNetwork
        Changed in place. If anything is raised, it is as it was.
    head : type or callable
        Makes the new head, whose rows stand for the same as those of the old.
    before, after : Hierarchy
        The hierarchy that the network has, and the one that it gets.
    optimizer : torch.optim.Optimizer, optional
        What moves its parameters. A lazy one should be flushed before.
    """
    old: Any = network.head
    weight = old.linear.weight
    grown: Any = head(
        weight.shape[1 - old.linear.row_dim],
        after,
        linear=type(old.linear),
        generator=torch.Generator(),  # its default seed: what is drawn does not vary
        dtype=weight.dtype,
    ).to(weight.device)
    maps = grown.map_rows(before, after)
    weights: dict[Tensor, Tensor] = {}
    states: dict[Tensor, dict[str, Any]] = {}
    with torch.no_grad():
        for name, rows in maps.items():
            linear, new = getattr(old, name), getattr(grown, name)
            for p, drawn, dim in (
                (linear.weight, new.weight, linear.row_dim),
                (linear.bias, new.bias, 0),
            ):
                weights[p] = rows.apply(p.detach(), dim, drawn.detach() if rows.is_drawn else None)
                if optimizer is not None and p in optimizer.state:
                    state = optimizer.state[p].items()
                    states[p] = {key: _carry(value, p, dim, rows) for key, value in state}
    for parameter, values in weights.items():
        parameter.data, parameter.grad = values, None
    for parameter, state in states.items():
        optimizer.state[parameter].update(state)  # type: ignore[union-attr]
    for name in maps:
        setattr(grown, name, getattr(old, name))
    network.head = grown.train(network.training)


def _carry(value: Any, parameter: Tensor, dim: int, rows: RowMap) -> Any:
    """Carry what an optimiser keeps: of each weight, of each row, or of the whole."""
    if not isinstance(value, Tensor) or not value.ndim:
        return value
    if value.shape == parameter.shape:
        return rows.apply(value, dim)
    return rows.apply(value) if dim == 0 and len(value) == len(parameter) else value
