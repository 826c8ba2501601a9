"""The lazy optimisers against torch's AdamW, and where they differ against numpy."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch.optim import AdamW
from torch.optim.optimizer import register_optimizer_step_pre_hook

from hierclf.nn import LazyAdamW, LazyNovoGrad, LeanAdamW
from hierclf.nn.optim import lean_step

OPTIONS = {"lr": 0.05, "weight_decay": 0.3, "betas": (0.8, 0.95), "eps": 1e-6}
fused_or_not = pytest.mark.parametrize("fused", [True, False])


def parameter(n_rows=5, dtype=torch.float64):
    values = np.random.default_rng(7).standard_normal((n_rows, 2))
    return torch.nn.Parameter(torch.from_numpy(values).to(dtype))


def gradients(touched, n_rows=5):
    """One gradient a step, dense and with rows of zeros where it does not touch."""
    rng = np.random.default_rng(11)
    grads = rng.standard_normal((len(touched), n_rows, 2))
    for grad, rows in zip(grads, touched, strict=True):
        grad[np.setdiff1d(np.arange(n_rows), rows)] = 0.0
    return grads


def as_sparse(grad, rows, dtype=torch.float64):
    values = torch.from_numpy(grad[list(rows)]).to(dtype)
    indices = torch.tensor([list(rows)], dtype=torch.int64)
    return torch.sparse_coo_tensor(indices, values, grad.shape, check_invariants=True)


def take_steps(optimizer, weight, grads, touched):
    for grad, rows in zip(grads, touched, strict=True):
        weight.grad = as_sparse(grad, rows, weight.dtype)
        optimizer.step()


# -- the same as AdamW


@fused_or_not
def test_dense_gradients_are_adamws(fused):
    lazy, plain = parameter(), parameter()
    ours, theirs = LazyAdamW([lazy], fused=fused, **OPTIONS), AdamW([plain], fused=fused, **OPTIONS)
    for grad in gradients([range(5)] * 5):
        for weight, optimizer in ((lazy, ours), (plain, theirs)):
            weight.grad = torch.from_numpy(grad)
            optimizer.step()
        assert torch.equal(lazy, plain)


@fused_or_not
def test_sparse_gradients_that_touch_every_row_are_adamws(fused):
    lazy, plain = parameter(), parameter()
    ours, theirs = LazyAdamW([lazy], fused=fused, **OPTIONS), AdamW([plain], **OPTIONS)
    for step, grad in enumerate(gradients([range(5)] * 6)):
        for optimizer in (ours, theirs):
            optimizer.param_groups[0]["lr"] = 0.05 / (1 + step)
        lazy.grad, plain.grad = as_sparse(grad, range(5)), torch.from_numpy(grad)
        ours.step()
        theirs.step()
        torch.testing.assert_close(lazy, plain, rtol=1e-12, atol=1e-12)
    after = lazy.detach().clone()
    ours.flush()
    assert torch.equal(lazy, after)


@fused_or_not
@pytest.mark.parametrize("dense_steps", [{1, 4, 5}, {0, 1, 3}])
def test_sparse_and_dense_gradients_may_take_turns(fused, dense_steps):
    """As when rows of a sparse and of a dense matrix train the same network."""
    lazy, plain = parameter(), parameter()
    ours, theirs = LazyAdamW([lazy], fused=fused, **OPTIONS), AdamW([plain], **OPTIONS)
    for step, grad in enumerate(gradients([range(5)] * 6)):
        lazy.grad = torch.from_numpy(grad) if step in dense_steps else as_sparse(grad, range(5))
        plain.grad = torch.from_numpy(grad)
        ours.step()
        theirs.step()
        torch.testing.assert_close(lazy, plain, rtol=1e-12, atol=1e-12)


def test_a_dense_gradient_finds_the_rows_caught_up():
    """Row 0 decays at step 1, untouched; at step 2 AdamW decays it again and moves it."""
    lazy, start = parameter(), parameter().detach().numpy()
    optimizer = LazyAdamW([lazy], **OPTIONS)
    first, second = gradients([[1, 2, 3, 4], range(5)])
    take_steps(optimizer, lazy, [first], [[1, 2, 3, 4]])
    lazy.grad = torch.from_numpy(second)
    optimizer.step()
    optimizer.flush()
    expected = numpy_lazy_adamw(start[0], [(2, second[0])], n_steps=2, lrs=[0.05] * 2)
    np.testing.assert_allclose(lazy[0].detach(), expected, rtol=1e-12)


def test_groups_and_parameters_of_both_kinds_side_by_side():
    touched = [[0, 1, 2, 3, 4]] * 3
    grads = gradients(touched)
    pairs = [(parameter(), parameter()) for _ in range(3)]

    def groups(weights):
        return [
            {"params": weights[:2], "lr": 0.1},
            {"params": weights[2:], "weight_decay": 0.0, "betas": (0.5, 0.6)},
        ]

    ours = LazyAdamW(groups([lazy for lazy, _ in pairs]), **OPTIONS)
    theirs = AdamW(groups([plain for _, plain in pairs]), **OPTIONS)
    for grad in grads:
        for (lazy, plain), is_sparse in zip(pairs, (True, False, True), strict=True):
            plain.grad = torch.from_numpy(grad)
            lazy.grad = as_sparse(grad, range(5)) if is_sparse else torch.from_numpy(grad)
        ours.step()
        theirs.step()
    assert [lazy.grad.is_sparse for lazy, _ in pairs] == [True, False, True]  # left in place
    for lazy, plain in pairs:
        torch.testing.assert_close(lazy, plain, rtol=1e-12, atol=1e-12)


# -- rows that are touched now and then


def numpy_lazy_adamw(row, touches, *, n_steps, lrs):
    """One row of AdamW whose moments move only when touched: at ``(step, gradient)``."""
    beta1, beta2 = OPTIONS["betas"]
    mean, square, touches = 0.0, 0.0, dict(touches)
    for step in range(1, n_steps + 1):
        row = row * (1 - lrs[step - 1] * OPTIONS["weight_decay"])
        if step in touches:
            mean = beta1 * mean + (1 - beta1) * touches[step]
            square = beta2 * square + (1 - beta2) * touches[step] ** 2
            size = np.sqrt(square / (1 - beta2**step)) + OPTIONS["eps"]
            row = row - lrs[step - 1] * (mean / (1 - beta1**step)) / size
    return row


TOUCHED = [[0, 1], [1, 3], [0, 1, 3], [0], [1]]  # row 0 at steps 1, 3, 4; 2 and 4 never
RATES = [0.05, 0.2, 0.01, 0.1, 0.4]


@fused_or_not
@pytest.mark.parametrize(
    ("dtype", "rtol"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["double", "single"]
)
def test_rows_touched_now_and_then_by_hand(fused, dtype, rtol):
    weight, start, grads = parameter(dtype=dtype), parameter().detach().numpy(), gradients(TOUCHED)
    optimizer = LazyAdamW([weight], fused=fused, **OPTIONS)
    for grad, rows, lr in zip(grads, TOUCHED, RATES, strict=True):
        optimizer.param_groups[0]["lr"] = lr
        take_steps(optimizer, weight, [grad], [rows])
    np.testing.assert_array_equal(weight[[2, 4]].detach(), parameter(dtype=dtype)[[2, 4]].detach())
    optimizer.flush()
    optimizer.flush()  # the second finds nothing left to do
    for row in range(5):
        touches = [(s, grads[s - 1][row]) for s in range(1, 6) if row in TOUCHED[s - 1]]
        expected = numpy_lazy_adamw(start[row], touches, n_steps=5, lrs=RATES)
        np.testing.assert_allclose(weight[row].detach(), expected, rtol=rtol)


def test_a_row_never_touched_decays_as_often_as_in_adamw():
    """With flushes in between, as after each epoch, and with each way to give a rate."""
    weight, start = parameter(), parameter().detach().numpy()
    optimizer = LazyAdamW([weight], **{**OPTIONS, "lr": torch.tensor(0.05, dtype=torch.float64)})
    grads = gradients([[0]] * 7)
    take_steps(optimizer, weight, grads[:3], [[0]] * 3)
    optimizer.flush()
    np.testing.assert_allclose(weight[1:].detach(), start[1:] * (1 - 0.05 * 0.3) ** 3, rtol=1e-14)
    take_steps(optimizer, weight, grads[3:], [[0]] * 4)
    optimizer.flush()
    np.testing.assert_allclose(weight[1:].detach(), start[1:] * (1 - 0.05 * 0.3) ** 7, rtol=1e-14)


def test_without_decay_untouched_rows_stay_to_the_bit():
    weight = parameter()
    optimizer = LazyAdamW([weight], lr=0.1, weight_decay=0.0)
    take_steps(optimizer, weight, gradients(TOUCHED), TOUCHED)
    optimizer.flush()
    assert torch.equal(weight[[2, 4]], parameter()[[2, 4]])
    assert (weight[[0, 1, 3]] != parameter()[[0, 1, 3]]).all()


def test_decay_that_is_switched_off_is_still_owed():
    weight, start = parameter(), parameter().detach().numpy()
    optimizer = LazyAdamW([weight], **OPTIONS)
    grads = gradients([[0], [1]])
    take_steps(optimizer, weight, grads[:1], [[0]])
    optimizer.param_groups[0]["weight_decay"] = 0.0
    take_steps(optimizer, weight, grads[1:], [[1]])
    optimizer.flush()
    # Row 1 decays by step 1, before it moves at step 2.
    beta1, beta2 = OPTIONS["betas"]
    mean = (1 - beta1) * grads[1][1] / (1 - beta1**2)
    size = np.sqrt((1 - beta2) * grads[1][1] ** 2 / (1 - beta2**2)) + OPTIONS["eps"]
    decay = 1 - 0.05 * 0.3
    np.testing.assert_allclose(
        weight[1].detach(), decay * start[1] - 0.05 * mean / size, rtol=1e-12
    )
    np.testing.assert_allclose(weight[2].detach(), decay * start[2], rtol=1e-12)


def test_an_uncoalesced_gradient_is_the_sum_of_its_parts():
    once, twice = parameter(), parameter()
    (grad,) = gradients([[1, 3]])
    once.grad = as_sparse(grad, [1, 3])
    indices, shares = [3, 1, 3], [[0.25], [1.0], [0.75]]
    values = torch.from_numpy(grad[indices] * shares)
    twice.grad = torch.sparse_coo_tensor([indices], values, (5, 2), check_invariants=True)
    for weight in (once, twice):
        LazyAdamW([weight], **OPTIONS).step()
    torch.testing.assert_close(once, twice, rtol=1e-12, atol=1e-12)


def test_a_gradient_without_rows_is_a_step_of_decay_alone():
    weight, start = parameter(), parameter().detach().numpy()
    optimizer = LazyAdamW([weight], **OPTIONS)
    take_steps(optimizer, weight, gradients([[]]), [[]])
    optimizer.flush()
    np.testing.assert_allclose(weight.detach(), start * (1 - 0.05 * 0.3), rtol=1e-14)


# -- as an optimiser


@fused_or_not
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("how", ["state_dict", "file", "pickle", "deepcopy"])
def test_it_goes_on_where_it_stopped(fused, dtype, how, tmp_path):
    weight, bias = parameter(dtype=dtype), parameter(dtype=dtype)
    grads = gradients(TOUCHED * 2)
    optimizer = LazyAdamW([weight, bias], fused=fused, **OPTIONS)

    def run(optimizer, weight, bias, steps):
        for step in steps:
            bias.grad = torch.from_numpy(grads[step]).to(dtype)
            take_steps(optimizer, weight, grads[[step]], [(TOUCHED * 2)[step]])

    run(optimizer, weight, bias, range(4))
    if how in ("state_dict", "file"):
        other_weight, other_bias = copy.deepcopy((weight, bias))
        other = LazyAdamW([other_weight, other_bias], lr=0.5, fused=fused)
        saved = optimizer.state_dict()
        if how == "file":
            torch.save(saved, tmp_path / "optimizer.pt")
            saved = torch.load(tmp_path / "optimizer.pt", weights_only=True)
        other.load_state_dict(copy.deepcopy(saved))
    else:
        other = (
            pickle.loads(pickle.dumps(optimizer)) if how == "pickle" else copy.deepcopy(optimizer)
        )
        other_weight, other_bias = other.param_groups[0]["params"]
    run(optimizer, weight, bias, range(4, 10))
    run(other, other_weight, other_bias, range(4, 10))
    optimizer.flush()
    other.flush()
    assert other_weight is not weight
    assert torch.equal(other_weight, weight)
    assert torch.equal(other_bias, bias)


def test_a_closure_is_called_once_with_gradients_and_its_loss_returned():
    table = torch.nn.Embedding(5, 2, sparse=True, dtype=torch.float64)
    optimizer, calls = LazyAdamW(table.parameters(), **OPTIONS), []
    start = table.weight.detach().clone()

    def closure():
        optimizer.zero_grad()
        loss = table(torch.tensor([1, 1, 3])).sum()
        loss.backward()
        calls.append(loss.item())
        return loss

    with torch.no_grad():
        loss = optimizer.step(closure)
    assert calls == [loss.item()]
    # The first step of Adam is lr whatever the gradient's size (here 2 in row 1, 1 in row 3).
    expected = start[[1, 3]] * (1 - 0.05 * 0.3) - 0.05
    torch.testing.assert_close(table.weight[[1, 3]].detach(), expected, rtol=0, atol=1e-7)
    assert torch.equal(table.weight[[0, 2, 4]], start[[0, 2, 4]])


def test_a_state_dict_keeps_the_decay_of_single_rows_in_double():
    weight = parameter(dtype=torch.float32)
    grads = gradients(TOUCHED * 2)
    optimizer = LazyAdamW([weight], lr=3.0, weight_decay=0.3)  # logarithms of rates add up to -9
    take_steps(optimizer, weight, grads[:4], TOUCHED[:4])
    other_weight = copy.deepcopy(weight)
    other = LazyAdamW([other_weight])
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for each, of in ((optimizer, weight), (other, other_weight)):
        each.param_groups[0]["lr"] = 1e-3
        take_steps(each, of, grads[4:], (TOUCHED * 2)[4:])
        each.flush()
    assert torch.equal(other_weight, weight)


@pytest.mark.parametrize("name", ["amsgrad", "maximize"])
def test_options_without_a_sparse_form_are_refused(name):
    with pytest.raises(ValueError, match=f"{name}=True has no sparse form"):
        LazyAdamW([parameter()], **{name: True})
    LazyAdamW([parameter()], **{name: False})


def test_a_decay_that_leaves_nothing_is_refused():
    weight = parameter()
    optimizer = LazyAdamW([weight], lr=2.0, weight_decay=0.5)
    with pytest.raises(ValueError, match=r"lr \* weight_decay must be below 1, not 2.0 \* 0.5"):
        take_steps(optimizer, weight, gradients([[0]]), [[0]])


# -- steps in proportion to the gradient


def numpy_novograd(start, grads, touched, rates):
    """Every row by the formula: where it is, and the mean place that a flush puts and decays."""
    weight, mean_square, decay, places = start.copy(), 0.0, 1.0, []
    beta, eps = OPTIONS["betas"][1], OPTIONS["eps"]
    for step, (grad, rows, lr) in enumerate(zip(grads, touched, rates, strict=True), 1):
        mean_square = beta * mean_square + (1 - beta) * np.mean(grad[list(rows)] ** 2)
        scale = np.sqrt(mean_square / (1 - beta**step)) + eps
        weight[list(rows)] -= lr * grad[list(rows)] / scale
        decay *= 1 - lr * OPTIONS["weight_decay"]
        places.append(weight.copy())
    shares = [t * (t + 1) * (t + 2) for t in range(1, len(places) + 1)]
    return weight, np.average(places, axis=0, weights=shares) * decay


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("copies", [1, 30])  # wide rows are moved in another way
def test_novograd_has_one_scale_for_all_rows(saved, copies):
    start = np.tile(parameter().detach().numpy(), copies)
    weight = torch.nn.Parameter(torch.from_numpy(start.copy()))
    touched = [[0, 2], [2], [1, 2, 4], [4]]
    grads = np.tile(gradients(touched), copies) * np.linspace(0.5, 2, start.shape[1])
    optimizer = LazyNovoGrad([weight], **OPTIONS)
    for step, lr in enumerate(RATES[:4]):
        if saved and step == 2:
            state = pickle.loads(pickle.dumps(optimizer.state_dict()))
            optimizer = LazyNovoGrad([weight], **OPTIONS)
            optimizer.load_state_dict(state)
        optimizer.param_groups[0]["lr"] = lr
        take_steps(optimizer, weight, grads[step : step + 1], touched[step : step + 1])
    last, mean = numpy_novograd(start, grads, touched, RATES[:4])
    np.testing.assert_allclose(weight.detach(), last, rtol=1e-12)
    optimizer.flush()
    optimizer.flush()  # changes nothing
    np.testing.assert_allclose(weight.detach(), mean, rtol=1e-12)


@pytest.mark.parametrize("place", range(4))
def test_a_gradient_without_rows_is_a_step_of_novograd_in_place(place):
    """The scale, a mean over entries, is that of the other steps; places and decay count it."""
    start = parameter().detach().numpy()
    touched, rates = [[0, 2], [2], [1, 2, 4]], RATES[:4]
    grads = gradients(touched)
    weight = parameter()
    optimizer = LazyNovoGrad([weight], **OPTIONS)
    steps = [(grads[i : i + 1], [touched[i]]) for i in range(3)]
    steps.insert(place, (np.zeros((1, 5, 2)), [[]]))
    for lr, step in zip(rates, steps, strict=True):
        optimizer.param_groups[0]["lr"] = lr
        take_steps(optimizer, weight, *step)

    # The same without it, then its place among the others, which is the one before.
    places = [start]
    for n_steps in range(1, 4):
        kept = [lr for i, lr in enumerate(rates) if i != place][:n_steps]
        places.append(numpy_novograd(start, grads[:n_steps], touched[:n_steps], kept)[0])
    np.testing.assert_allclose(weight.detach(), places[-1], rtol=1e-12)
    visited = places[1:]
    visited.insert(place, places[place])
    mean = np.average(visited, axis=0, weights=[6, 24, 60, 120])
    optimizer.flush()
    decay = np.prod([1 - lr * OPTIONS["weight_decay"] for lr in rates])
    np.testing.assert_allclose(weight.detach(), mean * decay, rtol=1e-12)


def test_novograd_with_no_gradient_but_empty_ones_decays_alone():
    weight, start = parameter(), parameter().detach().numpy()
    optimizer = LazyNovoGrad([weight], **OPTIONS)
    take_steps(optimizer, weight, gradients([[], []]), [[], []])
    optimizer.flush()
    np.testing.assert_allclose(weight.detach(), start * (1 - 0.05 * 0.3) ** 2, rtol=1e-14)


def test_novograd_adds_up_a_row_that_a_gradient_holds_twice():
    once, twice = parameter(), parameter()
    once.grad = as_sparse(np.array([[0, 0], [3, 1], [0, 0], [5, -1], [0, 0.0]]), [1, 3])
    twice.grad = torch.sparse_coo_tensor(
        [[3, 1, 3]],
        torch.tensor([[2.0, -2], [3, 1], [3, 1]]).double(),
        (5, 2),
        check_invariants=True,
    )
    for weight in (once, twice):
        LazyNovoGrad([weight], **OPTIONS).step()
    assert torch.equal(once, twice)


@fused_or_not
def test_dense_gradients_are_adamws_for_novograd_too(fused):
    lazy, plain = parameter(), parameter()
    ours = LazyNovoGrad([lazy], fused=fused, **OPTIONS)
    sparse, *dense = gradients([[1, 3], *[range(5)] * 3])
    take_steps(ours, lazy, [sparse], [[1, 3]])
    _, decayed = numpy_novograd(plain.detach().numpy(), [sparse], [[1, 3]], [OPTIONS["lr"]])
    plain.data = torch.from_numpy(decayed)  # where the dense ones set out from
    theirs = AdamW([plain], fused=fused, **OPTIONS)
    for grad in dense:
        for weight, optimizer in ((lazy, ours), (plain, theirs)):
            weight.grad = torch.from_numpy(grad)
            optimizer.step()
        torch.testing.assert_close(lazy, plain, rtol=1e-12, atol=0)


def test_novograds_mean_is_of_the_steps_since_the_last_flush():
    weight = torch.nn.Parameter(torch.zeros(1, 1, dtype=torch.float64))
    optimizer = LazyNovoGrad([weight], lr=1.0, weight_decay=0.0, eps=0.0)
    found = []
    for n_steps in (2, 1, 3):
        for _ in range(n_steps):  # each by 1, the root of a mean square that stays
            weight.grad = as_sparse(np.array([[-1.0]]), [0])
            optimizer.step()
        optimizer.flush()
        found.append(weight.item())
    # From 0 to 1, 2 with shares 6, 24; on by 1; and by 1, 2, 3 with shares 6, 24, 60.
    assert found == pytest.approx([54 / 30, 84 / 30, 84 / 30 + 234 / 90])


def test_novograd_refuses_to_decay_by_more_than_all():
    weight = parameter()
    optimizer = LazyNovoGrad([weight], lr=2.0, weight_decay=0.5)
    with pytest.raises(ValueError, match=r"lr \* weight_decay must be below 1"):
        take_steps(optimizer, weight, gradients([[1]]), [[1]])


# -- the lean one


@pytest.mark.parametrize(
    "options",
    [
        {"fused": True},
        {"fused": False},
        {"fused": True, "amsgrad": True},
        {"fused": True, "maximize": True},
        {"fused": True, "lr": torch.tensor(0.05)},
    ],
)
@pytest.mark.parametrize("dtypes", [(torch.float32, torch.float32), (torch.float64, torch.float32)])
def test_lean_adamw_is_adamw(options, dtypes):
    """Two groups, one with a rate of its own that a scheduler lowers, and a gradient that lacks."""

    def make(cls):
        weights = [parameter(dtype=dtype) for dtype in dtypes] + [parameter(dtype=dtypes[0])]
        groups = [{"params": weights[:2]}, {"params": weights[2:], "weight_decay": 0.01}]
        optimizer = cls(groups, **{**OPTIONS, **copy.deepcopy(options)})
        calls = []
        optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
        optimizer.register_step_post_hook(lambda *_: calls.append("after"))
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        return weights, optimizer, schedule, calls

    ours, theirs = make(LeanAdamW), make(AdamW)
    for number, grad in enumerate(gradients([range(5)] * 6)):
        for weights, optimizer, schedule, calls in (ours, theirs):
            for i, weight in enumerate(weights):
                weight.grad = None if i == number == 1 else torch.from_numpy(grad).to(weight.dtype)
            optimizer.step()
            schedule.step()
            is_lean = options == {"fused": True} and dtypes[0] is dtypes[1]
            if optimizer is theirs[1] or is_lean:
                assert calls == ["before", "after"] * (number + 1)
        for mine, other in zip(ours[0], theirs[0], strict=True):
            assert torch.equal(mine, other)
    state, other = (optimizer.state_dict()["state"] for _, optimizer, _, _ in (ours, theirs))
    for number, values in other.items():
        assert {name: v.tolist() for name, v in state[number].items()} == {
            name: v.tolist() for name, v in values.items()
        }


def test_lean_adamw_goes_on_from_adamw_and_takes_a_closure():
    ours, theirs = parameter(), parameter()
    first = AdamW([ours], fused=True, **OPTIONS)
    other = AdamW([theirs], fused=True, **OPTIONS)
    for weight, optimizer in ((ours, first), (theirs, other)):
        weight.square().sum().backward()
        optimizer.step()
    lean = LeanAdamW([ours], fused=True, **OPTIONS)
    lean.load_state_dict(first.state_dict())
    for weight, optimizer in ((ours, lean), (theirs, other)):

        def closure(weight=weight):
            weight.grad = None
            loss = weight.square().sum()
            loss.backward()
            return loss

        before = weight.detach().square().sum()
        assert optimizer.step(closure).detach() == before
        optimizer.step()
    assert torch.equal(ours, theirs)


def test_a_lean_step_leaves_out_the_record_and_nothing_that_was_hooked_in():
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = LeanAdamW([weight], lr=0.1, weight_decay=0.0, fused=True)
    weight.grad = torch.tensor([3.0, -4.0])
    with torch.profiler.profile() as profile:
        lean_step(optimizer)()
    assert not [event for event in profile.events() if "Optimizer" in event.name]
    # The first step of AdamW is lr long, whatever the gradient.
    torch.testing.assert_close(weight.detach(), torch.tensor([0.9, 2.1]))

    seen = []
    handle = optimizer.register_step_post_hook(lambda *_: seen.append("hook"))
    lean_step(optimizer)()
    handle.remove()
    assert seen == ["hook"]
    handle = register_optimizer_step_pre_hook(lambda *_: seen.append("all"))
    lean_step(optimizer)()
    handle.remove()
    assert seen == ["hook", "all"]
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)  # counts the steps, and warns if none
    lean_step(optimizer)()
    scheduler.step()
