"""Dropout with a generator of its own, against torch's."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F  # noqa: N812, torch's own convention
from torch import nn

from hierclf.nn.dropout import Dropout, drawing_from


def generator(seed=3):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("p", [0.0, 0.25, 0.5, 1.0])
def test_it_is_torchs_dropout_from_another_generator(p, dtype):
    x = torch.randn(40, 7, generator=generator(0), dtype=dtype)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        expected = F.dropout(x, p, training=True)
        before = torch.get_rng_state()
        ours = x.clone().requires_grad_()
        layer = Dropout(p)
        with drawing_from(generator(), layer):
            out = layer(ours)
        out.sum().backward()
        assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(out.detach(), expected)
    kept = (expected != 0).to(dtype) / (1 - p) if p < 1 else torch.zeros_like(x)
    torch.testing.assert_close(ours.grad, kept)


def test_layers_draw_in_turn_from_one_generator():
    network = nn.Sequential(Dropout(0.5), nn.Sequential(Dropout(0.5)))
    x = torch.ones(200)
    source = generator()
    first = torch.empty(200).bernoulli_(0.5, generator=source)
    second = torch.empty(200).bernoulli_(0.5, generator=source)
    with drawing_from(generator(), network):
        assert torch.equal(network(x), first * second * 4)
        assert torch.equal(network.eval()(x), x)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_afterwards_it_is_torchs_own_and_can_be_copied(again):
    layer = Dropout(0.5)
    with (
        pytest.raises(TypeError, match="must be Tensor, not str"),
        drawing_from(generator(), layer),
    ):
        layer("no tensor")
    layer = again(layer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        expected = F.dropout(torch.ones(50), 0.5)
        torch.manual_seed(3)
        assert torch.equal(layer(torch.ones(50)), expected)
