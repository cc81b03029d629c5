"""Batches of galaxies with different modalities: no padding, and nothing else changes."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from euclidfm.model import tokenize
from euclidfm.model.packing import groups, pack
from euclidfm.model.pooling import embed_tokens
from euclidfm.model.transformer import Block
from samples import lively

WAYS = [
    {},
    {"objective": "likelihood"},
    {"predict": "masked"},
    {"attention": "prefix"},
    {"positions": "rotary"},
    {"architecture": "astropt", "options": {"begin_tokens": False}},
]


def mixed(store, n=16):
    """Every subset of the modalities, the empty one too, and single missing bands."""
    galaxies = store.read(np.arange(n))
    for i in range(n):
        galaxies.masks["VIS"][i] |= not i & 1
        for b in ("Y", "J", "H"):
            galaxies.masks[b][i] |= not i & 2
        if not i & 4:
            galaxies.flux[i] = np.nan
    galaxies.flux[5, 3] = np.nan
    return galaxies


@pytest.mark.parametrize("how", WAYS)
def test_losses_gradients_and_embeddings_are_the_same(config, store, how):
    model = lively(replace(config, **how))
    tokens = tokenize(model.config, mixed(store))
    reading = {"order": torch.rand(16, 3, generator=torch.Generator().manual_seed(1)).argsort(1)}
    if model.config.attention == "prefix":
        reading["prefix"] = torch.arange(16) % 7
    if model.config.masked:
        reading["masked"] = {m: t.valid & (torch.arange(t.valid.shape[1]) % 2 > 0) for m, t in tokens.items()}
    found = []
    for packed in (False, True):
        model.skip_padding = packed
        model.zero_grad()
        sums = model.objective.loss_sums(model(tokens, **reading), model.loss_targets(tokens, **reading))
        sum(a / b for a, b in sums.values()).backward()
        gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        embeddings = [embed_tokens(model, tokens, bidirectional=b)[0] for b in (None, True)]
        found.append((sums, gradients, *embeddings))
    dense, ragged = found
    for (a, n), (b, m) in zip(dense[0].values(), ragged[0].values(), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-5)
        assert n == m
    assert dense[1].keys() == ragged[1].keys()
    for name, gradient in dense[1].items():
        torch.testing.assert_close(ragged[1][name], gradient, rtol=1e-3, atol=1e-4, msg=name)
    for a, b in itertools.chain(zip(dense[2:], ragged[2:], strict=True)):
        torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-5, equal_nan=True)


def test_no_token_is_wasted_in_the_linear_layers(config, store, monkeypatch):
    model, seen = lively(config), []
    real = Block.queries_keys_values

    def spy(self, x, angles):
        seen.append(x.shape)
        return real(self, x, angles)

    monkeypatch.setattr(Block, "queries_keys_values", spy)
    tokens = tokenize(config, mixed(store))
    vectors = embed_tokens(model, tokens).joint  # one call, whatever the galaxies have
    exist = int(model.arrange(tokens).lengths.sum())
    assert seen == [(exist, 32)] * config.layer and exist < 0.6 * 16 * model.arrange(tokens).slots.shape[1]
    assert vectors[[0, 8]].isnan().all() and torch.isfinite(vectors[[*range(1, 8), *range(9, 16)]]).all()
    seen.clear()
    embed_tokens(model, tokenize(config, store.read(np.arange(4))))  # all alike: as it always was
    assert seen == [(4, 32, 32)] * config.layer


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=30))
def test_the_groups_cost_least(lengths):
    n = np.sort(np.array(lengths))
    got = groups(n, most=3)
    assert [a for a, _ in got] == [0, *[b for _, b in got[:-1]]] and got[-1][1] == len(n) and len(got) <= 3

    def cost(ranges):
        return sum((b - a) * int(n[b - 1]) ** 2 for a, b in ranges)

    cuts = itertools.combinations(range(1, len(n)), min(2, len(n) - 1))
    every = [list(itertools.pairwise((0, *c, len(n)))) for c in cuts]
    assert cost(got) == min(map(cost, every))


def test_pack_and_unpack():
    lengths = torch.tensor([3, 0, 5, 1])
    x = torch.arange(4 * 5 * 2, dtype=torch.float32).view(4, 5, 2) + 1
    packing = pack(lengths, 5)
    there = torch.arange(5) < lengths[:, None]
    assert packing.pack(x).shape == (9, 2)
    assert torch.equal(packing.unpack(packing.pack(x)), x * there[..., None])
    assert pack(torch.tensor([5, 5, 5]), 5) is None
