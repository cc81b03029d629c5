"""Rotary places: what they depend on, any subset and order, both reading directions, and training."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from euclidfm.core.errors import InputError
from euclidfm.generate import complete
from euclidfm.model import FoundationModel, tokenize
from euclidfm.model.pooling import embed_tokens
from euclidfm.model.sequence import RotaryEncoding
from euclidfm.model.tokens import drop_modalities
from euclidfm.model.transformer import rotate
from euclidfm.pretrain import PretrainConfig, pretrain
from samples import SMALL, lively

ROTARY = replace(SMALL, positions="rotary")


@pytest.fixture
def unscaled():
    return ROTARY


def test_only_differences_of_places_count():
    rotary = RotaryEncoding(24, begin=False)
    q, k = torch.randn(2, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def product(here, there):
        coords = torch.tensor([here, there], dtype=torch.float32)
        turn = rotary({"VIS": coords}, torch.arange(2)[None])
        return float(
            (rotate(q[None, None, None], turn[:, :1]) * rotate(k[None, None, None], turn[:, 1:])).sum()
        )

    base = product([0.4, -1.2, 0.1], [1.2, 0.4, 0.3])
    assert product([2.4, 0.8, 1.1], [3.2, 2.4, 1.3]) == pytest.approx(base, abs=1e-4)
    for axis in range(3):  # each of x, y and wavelength is seen
        moved = [1.2, 0.4, 0.3]
        moved[axis] += 0.4
        assert abs(product([0.4, -1.2, 0.1], moved) - base) > 1e-3
    same = product([5.0, 1.0, 0.0], [5.0, 1.0, 0.0])
    assert same == pytest.approx(float(q.float() @ k.float()), abs=1e-4)


@pytest.mark.parametrize("where", ["VIS", "SED"])
def test_places_reach_every_token(config, store, where):
    """Patches that swap places, and bands of other wavelengths, are other galaxies."""
    model = lively(config)
    tokens = tokenize(config, store.read(np.arange(3)))
    before = embed_tokens(model, tokens)[1][where]
    coords = tokens[where].coords.roll(1, 0)
    after = embed_tokens(model, {**tokens, where: replace(tokens[where], coords=coords)})[1][where]
    assert ((before - after).abs() > 1e-4).any(-1).all()


@pytest.mark.parametrize("both_ways", [False, True])
def test_a_galaxy_is_the_same_in_any_company(config, store, both_ways):
    model = lively(config)
    galaxies = store.read(np.arange(6))
    galaxies.masks["VIS"][1] = True
    galaxies.flux[2] = np.nan
    galaxies.flux[3, 2:5] = np.nan
    together = embed_tokens(model, tokenize(config, galaxies), bidirectional=both_ways).joint
    for i in range(6):
        tokens = tokenize(config, galaxies.take(np.array([i])))
        alone = embed_tokens(model, tokens, bidirectional=both_ways).joint
        torch.testing.assert_close(alone[0], together[i], rtol=1e-4, atol=1e-5)


def test_order_of_the_chain_does_not_matter_to_the_rotation(config, store):
    """Read both ways, a galaxy is the same whatever the order: places are of tokens, not of ranks."""
    model = lively(replace(config, predict="masked"))
    tokens = tokenize(config, store.read(np.arange(3)))
    flip = torch.tensor([2, 1, 0]).expand(3, -1)
    with torch.no_grad():
        one, two = model(tokens), model(tokens, flip)
    for m in tokens:
        torch.testing.assert_close(one[m], two[m], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("how", [{}, {"attention": "prefix"}])
def test_the_cache_changes_nothing(config, store, how):
    model = lively(replace(config, **how))
    galaxies = store.read(np.arange(4))
    for b in ("Y", "J", "H"):
        galaxies.masks[b][2, :8] = True
    tokens = drop_modalities(tokenize(config, galaxies), ("VIS", "NISP"))
    wanted = {m: ~tokens[m].valid for m in ("NISP", "SED")}
    fast, slow = (complete(model, tokens, wanted, cache=c) for c in (True, False))
    for m in tokens:
        torch.testing.assert_close(fast.tokens[m].target, slow.tokens[m].target, rtol=1e-4, atol=1e-4)


def test_it_trains_and_loads(store, tmp_path):
    config = PretrainConfig(
        model=ROTARY, steps=30, batch=32, lr=3e-3, precision="fp32", validate_every=10, checkpoint_every=30
    )
    model = pretrain(config, store.path, tmp_path / "run")
    rows = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert float(rows[-1].split(",")[6]) < float(rows[1].split(",")[6])
    tokens = tokenize(model.config, store.read(np.arange(3)))
    again = FoundationModel.load(tmp_path / "run")
    assert torch.equal(embed_tokens(model, tokens)[0], embed_tokens(again, tokens)[0])


def test_heads_that_are_too_narrow():
    with pytest.raises(InputError, match="even width of at least 6, got 4"):
        replace(ROTARY, heads=8)
