"""Loops that numba compiles: the softmaxes on the paths of a batch, and steps of rows.

Each function computes what a form in torch does as well, in the same order of magnitude of
rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from hierclf.nn._fast import compiled

_Floats = NDArray[Any]
_Ints = NDArray[np.int64]

# Rows at random places come late from memory. So a row is asked for while this number of rows
# before it are worked on.
_AHEAD = 20
_LINE = 64  # bytes that a processor fetches at once


@intrinsic
def _prefetch(typing_context: Any, address: Any) -> Any:
    """Ask for what is at an address, without waiting for it."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = [cgutils.voidptr_t, *[cgutils.int32_t] * 3]
        kind = ir.FunctionType(ir.VoidType(), kinds)
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch")  # type: ignore[no-untyped-call]
        to_read_keep_data = (cgutils.int32_t(number) for number in (0, 3, 1))
        place = builder.inttoptr(args[0], cgutils.voidptr_t)
        builder.call(function, [place, *to_read_keep_data])
        return context.get_dummy_value()

    return types.void(types.intp), generate


@compiled
def _fetch(table: _Floats, row: int, n_rows: int) -> None:
    """Ask for some rows of a table, without waiting for them."""
    start, size = table.ctypes.data + row * table.strides[0], n_rows * table.strides[0]
    for place in range(start, start + size, _LINE):
        _prefetch(place)  # type: ignore[call-arg]


@compiled
def climb(target: _Ints, choice: _Ints, group: _Ints, above: _Ints, keys: _Ints) -> int:
    """List the chosen nodes on the paths to some targets; return how many there are.

    ``keys`` receives ``node * len(target) + row`` for each.
    """
    n_nodes, batch, n = len(choice) - 1, len(target), 0
    # Step by step and not row by row: the look-ups of a step do not wait for each other.
    here = np.empty(batch, np.int64)
    rows = np.arange(batch)
    for row in range(batch):
        here[row] = choice[target[row]]
    left = batch
    while left:
        kept = 0
        for i in range(left):
            node, row = here[i], rows[i]
            if node < n_nodes:
                keys[n] = node * batch + row
                n += 1
                here[kept] = above[group[node]]
                rows[kept] = row
                kept += 1
        left = kept
    return n


@compiled
def forward(
    keys: _Ints,
    group: _Ints,
    offsets: _Ints,
    column: _Ints,
    hidden: _Floats,
    weight: _Floats,
    bias: _Floats,
    prior: _Floats,
    smoothing: float,
    lowest: float,
    wide: int,
    steps: _Floats,
) -> tuple[_Ints, _Ints, _Ints, _Ints, _Ints, _Ints, _Ints, _Floats, bool]:
    """Compute the steps of the groups that some sorted keys name, but for those of much work.

    Returns
    -------
    row, node : arrays of shape (entries,)
        The row of the batch and the chosen node of each key.
    first_entry, start, first_value, first_pair : arrays of shape (groups + 1,)
        Where the entries, the nodes, the gradient and the residuals of each group start.
    rows : array of shape (values,)
        The nodes of all groups.
    residual : array of shape (pairs,)
        The derivative of each step in each of its logits: entry by sibling, group by group. Groups
        of ``wide`` pairs and more have none.
    is_left : bool
        Whether there are such groups.
    """
    batch, n_entries = len(hidden), len(keys)
    size_of_hidden = hidden.shape[1]
    row = np.empty(n_entries, np.int64)
    node = np.empty(n_entries, np.int64)
    first_entry = np.empty(n_entries + 1, np.int64)
    start = np.empty(n_entries + 1, np.int64)
    first_value = np.empty(n_entries + 1, np.int64)
    first_pair = np.empty(n_entries + 1, np.int64)
    n_groups = 0
    n_values = 0
    n_pairs = 0
    stop = 0
    for entry in range(n_entries):
        key = keys[entry]
        node[entry] = key // batch
        row[entry] = key - node[entry] * batch
        if node[entry] >= stop:
            found = group[node[entry]]
            if n_groups:
                begun = n_groups - 1
                pairs = (entry - first_entry[begun]) * (stop - start[begun])
                n_pairs += pairs if pairs < wide else 0
            first_entry[n_groups] = entry
            start[n_groups] = offsets[found]
            stop = offsets[found + 1]
            first_value[n_groups] = n_values
            first_pair[n_groups] = n_pairs
            n_values += stop - start[n_groups]
            n_groups += 1
    if n_groups:
        begun = n_groups - 1
        pairs = (n_entries - first_entry[begun]) * (stop - start[begun])
        n_pairs += pairs if pairs < wide else 0
    first_entry[n_groups] = n_entries
    start[n_groups] = stop
    first_value[n_groups] = n_values
    first_pair[n_groups] = n_pairs

    zero = weight.dtype.type(0)
    rows = np.empty(n_values, np.int64)
    residual = np.empty(n_pairs, weight.dtype)
    is_left = False
    for g in range(n_groups):
        s = start[g]
        size = first_value[g + 1] - first_value[g]
        for j in range(size):
            rows[first_value[g] + j] = s + j
        if first_pair[g + 1] == first_pair[g]:
            is_left = True
            continue
        if g + 1 < n_groups:
            _fetch(weight, start[g + 1], first_value[g + 2] - first_value[g + 1])
        col = column[group[s]]
        for entry in range(first_entry[g], first_entry[g + 1]):
            b = row[entry]
            x = hidden[b]
            out = residual[first_pair[g] + (entry - first_entry[g]) * size :][:size]
            for j in range(size):
                w, logit = weight[s + j], zero
                for k in range(size_of_hidden):
                    logit += w[k] * x[k]
                out[j] = logit + bias[s + j]
            if len(prior):
                for j in range(size):
                    out[j] += prior[s + j]
            _step(out, node[entry] - s, smoothing, lowest, steps, b, col)
    return (
        row,
        node,
        first_entry[: n_groups + 1],
        start[: n_groups + 1],
        first_value[: n_groups + 1],
        first_pair[: n_groups + 1],
        rows,
        residual,
        is_left,
    )


@compiled
def _step(
    out: _Floats,
    chosen: int,
    smoothing: float,
    lowest: float,
    steps: _Floats,
    row: int,
    column: int,
) -> None:
    """Turn the logits of a group into a step and its residuals, in place."""
    largest = out[0]
    for j in range(1, len(out)):
        largest = max(largest, out[j])
    total = out[0] * 0
    mean = out[0] * 0
    for j in range(len(out)):
        out[j] -= largest
        mean += out[j]
    at_chosen = out[chosen]
    for j in range(len(out)):
        out[j] = out.dtype.type(0) if out[j] < lowest else np.exp(out[j])
        total += out[j]
    rest = out.dtype.type(1 - smoothing)
    spread = out.dtype.type(smoothing / len(out))
    steps[row, column] = rest * at_chosen + spread * mean - np.log(total)
    share = out.dtype.type(-1) / total
    for j in range(len(out)):
        out[j] = spread + share * out[j]
    out[chosen] += rest


@compiled
def backward(
    row: _Ints,
    first_entry: _Ints,
    start: _Ints,
    first_value: _Ints,
    first_pair: _Ints,
    residual: _Floats,
    grad: _Floats,
    column: _Ints,
    group: _Ints,
    hidden: _Floats,
    weight: _Floats,
    values: _Floats,
    bias_values: _Floats,
    hidden_grad: _Floats,
) -> None:
    """Fill in the gradients of the groups that have residuals."""
    for g in range(len(first_entry) - 1):
        if first_pair[g + 1] == first_pair[g]:
            continue
        _group_gradient(
            row[first_entry[g] : first_entry[g + 1]],
            residual[first_pair[g] : first_pair[g + 1]],
            grad,
            column[group[start[g]]],
            hidden,
            values[first_value[g] : first_value[g + 1]],
            bias_values[first_value[g] : first_value[g + 1]],
        )
        if len(hidden_grad):
            _add_hidden_gradient(
                row[first_entry[g] : first_entry[g + 1]],
                residual[first_pair[g] : first_pair[g + 1]],
                grad,
                column[group[start[g]]],
                weight[start[g] : start[g] + first_value[g + 1] - first_value[g]],
                hidden_grad,
            )


@compiled
def _group_gradient(
    row: _Ints,
    residual: _Floats,
    grad: _Floats,
    column: int,
    hidden: _Floats,
    values: _Floats,
    bias_values: _Floats,
) -> None:
    """Fill in the gradients of the weights of a group, from its entries."""
    size, width = values.shape
    # Whole rows are indexed value by value: to name a row first costs as much as to fill it.
    b0 = row[0]
    for j in range(size):
        f0 = residual[j] * grad[b0, column]
        bias_values[j] = f0
        for k in range(width):
            values[j, k] = f0 * hidden[b0, k]
    entry = 1
    # Four at a time: the sums are read and written a quarter as often.
    while entry + 4 <= len(row):
        at = entry * size
        b0, b1, b2, b3 = row[entry], row[entry + 1], row[entry + 2], row[entry + 3]
        g0, g1, g2, g3 = grad[b0, column], grad[b1, column], grad[b2, column], grad[b3, column]
        for j in range(size):
            f0, f1 = residual[at + j] * g0, residual[at + size + j] * g1
            f2, f3 = residual[at + 2 * size + j] * g2, residual[at + 3 * size + j] * g3
            bias_values[j] += (f0 + f1) + (f2 + f3)
            for k in range(width):
                values[j, k] += (f0 * hidden[b0, k] + f1 * hidden[b1, k]) + (
                    f2 * hidden[b2, k] + f3 * hidden[b3, k]
                )
        entry += 4
    while entry < len(row):
        at, b0 = entry * size, row[entry]
        for j in range(size):
            f0 = residual[at + j] * grad[b0, column]
            bias_values[j] += f0
            for k in range(width):
                values[j, k] += f0 * hidden[b0, k]
        entry += 1


@compiled
def _add_hidden_gradient(
    row: _Ints,
    residual: _Floats,
    grad: _Floats,
    column: int,
    weight: _Floats,
    hidden_grad: _Floats,
) -> None:
    """Add the gradients of the hidden states that a group reads."""
    size, width = weight.shape
    for entry in range(len(row)):
        at, b0 = entry * size, row[entry]
        for j in range(size):
            f0 = residual[at + j] * grad[b0, column]
            for k in range(width):
                hidden_grad[b0, k] += f0 * weight[j, k]


@compiled
def adamw(
    weight: _Floats,
    exp_avg: _Floats,
    exp_avg_sq: _Floats,
    rows: _Ints,
    values: _Floats,
    row_step: _Floats,
    row_log_decay: NDArray[np.float64],
    log_decay: float,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    corrections: NDArray[np.float64],
) -> bool:
    """Move the rows of a sparse gradient as AdamW does, each by its own count of steps.

    Nothing is done, and False returned, if the rows do not ascend: one may stand there twice.
    ``corrections`` holds ``1 - beta1**n, 1 - beta2**n`` for the first counts n: a power takes
    longer than the rest of a short row.
    """
    if not _ascend(rows):
        return False
    none = weight[:0, 0]
    move_rows(
        rows,
        0,
        len(rows),
        values,
        none,
        weight,
        exp_avg,
        exp_avg_sq,
        none,
        none,
        none,
        row_step,
        row_log_decay,
        log_decay,
        lr,
        beta1,
        beta2,
        eps,
        corrections,
    )
    return True


@compiled
def move_rows(
    rows: _Ints,
    first_row: int,
    end: int,
    values: _Floats,
    bias_values: _Floats,
    weight: _Floats,
    exp_avg: _Floats,
    exp_avg_sq: _Floats,
    bias: _Floats,
    bias_avg: _Floats,
    bias_avg_sq: _Floats,
    row_step: _Floats,
    row_log_decay: NDArray[np.float64],
    log_decay: float,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    corrections: NDArray[np.float64],
) -> None:
    """Move some of different rows, each with its bias if there are any.

    These are ``rows[first_row:end]``, and what has values; those after them come next.
    """
    none, one, width = weight.dtype.type(0), weight.dtype.type(1), weight.shape[1]
    keep1, keep2 = weight.dtype.type(beta1), weight.dtype.type(beta2)
    new1, new2 = weight.dtype.type(1 - beta1), weight.dtype.type(1 - beta2)
    small = weight.dtype.type(eps)
    smallest = np.finfo(weight.dtype).tiny
    count, behind = -1.0, np.nan
    size, to_variance, decay = one, one, one
    for at in range(first_row, end):
        if at + _AHEAD < len(rows):
            r = rows[at + _AHEAD]
            _fetch(weight, r, 1)
            _fetch(exp_avg, r, 1)
            _fetch(exp_avg_sq, r, 1)
            _fetch(row_step, r, 1)
            _fetch(row_log_decay, r, 1)
            if len(bias):
                _fetch(bias, r, 1)
                _fetch(bias_avg, r, 1)
                _fetch(bias_avg_sq, r, 1)
        r, i = rows[at], at - first_row
        row_step[r] += 1
        if row_step[r] != count:  # siblings are at the same step
            count = row_step[r]
            if count < len(corrections):
                correction1, correction2 = corrections[int(count)]
            else:
                correction1, correction2 = 1 - beta1**count, 1 - beta2**count
            size = weight.dtype.type(lr / correction1)
            to_variance = weight.dtype.type(1 / correction2)
        if row_log_decay[r] != behind:
            behind = row_log_decay[r]
            decay = weight.dtype.type(np.exp(log_decay - behind))
        row_log_decay[r] = log_decay
        if len(bias):
            g = bias_values[i]
            first = keep1 * bias_avg[r] + new1 * g
            second = keep2 * bias_avg_sq[r] + new2 * g * g
            bias_avg[r] = none if abs(first) < smallest else first
            bias_avg_sq[r] = none if second < smallest else second
            root = np.sqrt(max(second * to_variance, smallest))
            bias[r] = decay * bias[r] - size * first / (root + small)
        for k in range(width):
            g = values[i, k]
            first = keep1 * exp_avg[r, k] + new1 * g
            second = keep2 * exp_avg_sq[r, k] + new2 * g * g
            exp_avg[r, k] = none if abs(first) < smallest else first
            exp_avg_sq[r, k] = none if second < smallest else second
            root = np.sqrt(max(second * to_variance, smallest))
            weight[r, k] = decay * weight[r, k] - size * first / (root + small)


@compiled
def backward_adamw(
    row: _Ints,
    first_entry: _Ints,
    start: _Ints,
    first_value: _Ints,
    first_pair: _Ints,
    rows: _Ints,
    residual: _Floats,
    grad: _Floats,
    column: _Ints,
    group: _Ints,
    hidden: _Floats,
    hidden_grad: _Floats,
    weight: _Floats,
    exp_avg: _Floats,
    exp_avg_sq: _Floats,
    bias: _Floats,
    bias_avg: _Floats,
    bias_avg_sq: _Floats,
    row_step: _Floats,
    row_log_decay: NDArray[np.float64],
    log_decay: float,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    corrections: NDArray[np.float64],
) -> None:
    """Do what ``backward`` and ``adamw`` do, while a group is in the processor's cache.

    Groups without residuals stay as they are. Each bias is at the step of its row.
    """
    widest = 0
    for g in range(len(first_entry) - 1):
        if first_pair[g + 1] > first_pair[g]:
            widest = max(widest, first_value[g + 1] - first_value[g])
    of_weight = np.empty((widest, weight.shape[1]), weight.dtype)
    of_bias = np.empty(widest, weight.dtype)
    for g in range(len(first_entry) - 1):
        if first_pair[g + 1] == first_pair[g]:
            continue
        size = first_value[g + 1] - first_value[g]
        of_batch = row[first_entry[g] : first_entry[g + 1]]
        back = residual[first_pair[g] : first_pair[g + 1]]
        col = column[group[start[g]]]
        _group_gradient(of_batch, back, grad, col, hidden, of_weight[:size], of_bias[:size])
        if len(hidden_grad):
            table = weight[start[g] : start[g] + size]
            _add_hidden_gradient(of_batch, back, grad, col, table, hidden_grad)
        move_rows(
            rows,
            first_value[g],
            first_value[g + 1],
            of_weight,
            of_bias,
            weight,
            exp_avg,
            exp_avg_sq,
            bias,
            bias_avg,
            bias_avg_sq,
            row_step,
            row_log_decay,
            log_decay,
            lr,
            beta1,
            beta2,
            eps,
            corrections,
        )


@compiled
def _ascend(rows: _Ints) -> bool:
    """Tell whether each row is larger than the last."""
    for i in range(1, len(rows)):  # noqa: SIM110, numba has no all()
        if rows[i] <= rows[i - 1]:
            return False
    return True


@compiled
def adagrad(
    weight: _Floats,
    rows: _Ints,
    values: _Floats,
    total: _Floats,
    row_log_decay: NDArray[np.float64],
    log_decay: float,
    lr: float,
    eps: float,
) -> bool:
    """Move the rows of a sparse gradient by Adagrad with one sum of squares for each row.

    Nothing is done, and False returned, if the rows do not ascend: one may stand there twice.
    """
    if not _ascend(rows):
        return False
    behind, decay = np.nan, weight.dtype.type(1)
    for i in range(len(rows)):
        r = rows[i]
        g, w = values[i], weight[r]
        square = total[r] * 0
        for k in range(len(g)):
            square += g[k] * g[k]
        total[r] += square / max(len(g), 1)
        size = weight.dtype.type(lr / (np.sqrt(total[r]) + eps))
        if row_log_decay[r] != behind:
            behind = row_log_decay[r]
            decay = weight.dtype.type(np.exp(log_decay - behind))
        row_log_decay[r] = log_decay
        for k in range(len(g)):
            w[k] = decay * w[k] - size * g[k]
    return True
