"""The likelihood: densities, calibration, surprise; masked and prefix reading."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from euclidfm.core.errors import InputError
from euclidfm.embeddings import surprise_of
from euclidfm.model import FoundationModel, tokenize
from euclidfm.model.likelihood import DegreesOfFreedom, StudentT, student_t
from euclidfm.model.pooling import embed_tokens
from euclidfm.model.sequence import every_nth, random_orders
from euclidfm.pretrain import PretrainConfig, pretrain
from samples import COARSE_VIS, SMALL, blobs, lively, surprisal, write_store

LIKELIHOOD = replace(SMALL, depth=3, objective="likelihood")


@pytest.fixture
def unscaled():
    return LIKELIHOOD


@pytest.mark.parametrize("dof", [2.5, 5.0, 200.0])
def test_density_is_students_and_integrates_to_one(dof):
    def density(y):
        one = torch.tensor([[[y]]], dtype=torch.float64)
        t = StudentT(torch.full_like(one, 0.3), torch.full_like(one, 0.7), torch.tensor([dof]).double())
        return float(t.log_density(one).exp())

    total, _ = integrate.quad(density, -np.inf, np.inf, limit=200)
    assert abs(total - 1) < 1e-6
    for y in (-4.0, 0.3, 1.1, 60.0):
        np.testing.assert_allclose(density(y), stats.t.pdf(y, dof, 0.3, 0.7), rtol=1e-6)


def test_known_errors_widen_in_quadrature():
    t = StudentT(torch.zeros(1, 1, 1), torch.full((1, 1, 1), 3.0), torch.tensor([5.0]))
    assert float(t.with_error(torch.full((1, 1, 1), 4.0)).scale) == 5.0


def test_degrees_of_freedom_fixed_or_one_learned_number_a_band():
    fixed, learned = DegreesOfFreedom(12, 3, fixed=4.0), DegreesOfFreedom(12, 3)
    torch.testing.assert_close(fixed(), torch.full((12,), 4.0))
    assert not list(fixed.parameters()) and fixed.state_dict() == {}
    learned.raw.data[1] = 0.0
    torch.testing.assert_close(learned()[3:9], torch.tensor([10.0] + [3.0] * 4 + [10.0]))


def test_calibration_of_a_fit_to_known_noise():
    """Location, scale and tails fitted to draws whose width depends on an input: the PIT is uniform."""
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.uniform(-1, 1, (15000, 1)).astype(np.float32))
    truth = 0.3 * torch.exp(x)
    y = (2 * x + truth * torch.from_numpy(rng.standard_t(4.0, (15000, 1)).astype(np.float32)))[:, None]
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(1, 32), torch.nn.GELU(), torch.nn.Linear(32, 2))
    tails = DegreesOfFreedom(1)
    optimizer = torch.optim.Adam([*net.parameters(), *tails.parameters()], lr=0.02)
    cooling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 250)
    for _ in range(250):
        t = student_t(net(x[:12000])[:, None], tails())
        loss = -t.log_density(y[:12000]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        cooling.step()
    with torch.no_grad():
        t = student_t(net(x[12000:])[:, None], tails())
    assert 3.0 < float(t.dof) < 6.0
    assert pit_distance(t, y[12000:]) < 1.63 / np.sqrt(3000)  # 1% point of Kolmogorov's statistic


def pit_distance(t: StudentT, y: torch.Tensor, here: torch.Tensor | None = None) -> float:
    """Largest distance between the distribution of the probability integral transform and a uniform."""
    with torch.no_grad():
        dof = t.dof.expand_as(t.location)
        z = (y - t.location) / t.scale
        keep = torch.ones_like(z, dtype=torch.bool) if here is None else here
        return float(stats.kstest(stats.t.cdf(z[keep].double(), dof[keep].double()), "uniform").statistic)


@pytest.mark.slow
def test_a_trained_model_is_calibrated_and_surprised_by_the_odd(tmp_path):
    store = write_store(tmp_path / "store", blobs(1500, bands=("VIS",)))
    config = PretrainConfig(
        model=replace(LIKELIHOOD, images=(COARSE_VIS,), depth=2), steps=700, batch=64, lr=4e-3, min_lr=0.01,
        precision="fp32", random_symmetry=False, validate_every=700, checkpoint_every=700,
    )  # fmt: skip
    model = pretrain(config, store.path, tmp_path / "run")
    galaxies = store.read(store.rows("test"))
    tokens = tokenize(model.config, galaxies)
    how = random_orders(tokens, seed=1)
    with torch.no_grad():
        told = model.objective.distributions(model(tokens, **how), tokens)
    for name, t in told.items():
        assert pit_distance(t, tokens[name].target, tokens[name].weight > 0) < 0.04, name
    nats = surprisal(model, tokens, **how)
    odd = store.read(store.rows("test"))
    odd.flux[:, 4] *= 3.0  # one band too bright
    more = surprisal(model, tokenize(model.config, odd), **how)
    assert (more["SED"][:, 4] > nats["SED"][:, 4] + 2).float().mean() > 0.7
    before = how["order"][:, 0] < how["order"][:, 1]  # images first: they know nothing of the band
    assert torch.equal(more["VIS"][before], nats["VIS"][before])


def test_surprise_of_what_is_absent_is_nan(config, store):
    model = lively(config)
    galaxies = store.read(np.arange(4))
    galaxies.masks["VIS"][1] = True
    galaxies.flux[2, 3] = np.nan
    galaxies.masks["J"][3, :8, :8] = True
    tokens = tokenize(config, galaxies)
    nats = surprisal(model, tokens)
    assert {m: v.shape for m, v in nats.items()} == {m: t.valid.shape for m, t in tokens.items()}
    for m, v in nats.items():
        assert torch.equal(v.isfinite(), tokens[m].valid)
    assert nats["VIS"][1].isnan().all() and nats["SED"][2, 3].isnan()
    with torch.no_grad():
        t = model.objective.distributions(model(tokens), tokens)["NISP"]
    byhand = stats.t.logpdf(tokens["NISP"].target, t.dof, t.location, t.scale) * tokens["NISP"].weight.numpy()
    np.testing.assert_allclose(nats["NISP"], -byhand.sum(-1), rtol=1e-4)
    with pytest.raises(InputError, match="no likelihood"):
        surprise_of(lively(replace(config, objective="huber")), galaxies)


def test_a_masked_model_does_not_read_what_it_predicts(config, store):
    model = lively(replace(config, predict="masked"))
    tokens = tokenize(config, store.read(np.arange(4)))
    hidden = every_nth(tokens, 1, 3)
    with torch.no_grad():
        before = model(tokens, masked=hidden)
        changed = {m: replace(t, features=t.features + 5.0 * hidden[m][..., None]) for m, t in tokens.items()}
        after = model(changed, masked=hidden)
        seen = model({m: replace(t, features=t.features + 5.0) for m, t in tokens.items()}, masked=hidden)
    for m in tokens:
        at = hidden[m]
        assert torch.equal(before[m][at], after[m][at]) and (before[m][at] != seen[m][at]).any()
    asked = model.loss_targets(tokens, masked=hidden)
    assert all(torch.equal(asked[m].weight[..., 0] > 0, hidden[m]) for m in tokens)
    maps = surprise_of(model, store.read(np.arange(4)))  # each token predicted once, in one of four parts
    assert all(np.isfinite(v).all() for m in maps for v in m.patches.values())


def test_prefix_is_read_both_ways_and_not_asked(config, store):
    model = lively(replace(config, attention="prefix"))
    tokens = tokenize(config, store.read(np.arange(3)))
    prefix = torch.tensor([9, 0, 4])  # the VIS begin token and 8, 0, 3 of its 16 tokens
    features = tokens["VIS"].features.clone()
    features[:, 7] += 5.0  # position 8
    with torch.no_grad():
        before = model(tokens, prefix=prefix)["VIS"]
        after = model({**tokens, "VIS": replace(tokens["VIS"], features=features)}, prefix=prefix)["VIS"]
    moved = (before != after).any(-1)
    assert moved[0, :8].all() and not moved[1, :8].any() and not moved[2, :8].any()
    assert moved[:, 8:].all()
    asked = model.loss_targets(tokens, prefix=prefix)["VIS"].weight[..., 0] > 0
    assert asked.sum(1).tolist() == [8, 16, 13]
    for name in ("NISP", "SED"):
        assert (model.loss_targets(tokens, prefix=prefix)[name].weight > 0).all()


def test_embedding_in_both_directions(config, store):
    """An early modality sees a later one, and a galaxy is the same in any company."""
    model = lively(config)
    galaxies = store.read(np.arange(5))
    galaxies.flux[2] = np.nan
    tokens = tokenize(config, galaxies)
    causal = embed_tokens(model, tokens).by_modality
    both = embed_tokens(model, tokens, bidirectional=True).by_modality
    images = replace(tokens["VIS"], features=tokens["VIS"].features + 1.0)
    causal_after = embed_tokens(model, {**tokens, "VIS": images}).by_modality
    both_after = embed_tokens(model, {**tokens, "VIS": images}, bidirectional=True).by_modality
    assert torch.equal(causal["SED"][0], causal_after["SED"][0])
    assert not torch.equal(both["SED"][0], both_after["SED"][0])
    alone = embed_tokens(
        model, tokenize(config, galaxies.take(np.array([2]))), bidirectional=True
    ).by_modality
    torch.testing.assert_close(alone["VIS"][0], both["VIS"][2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "how", [{"predict": "masked"}, {"attention": "prefix"}, {"objective": "huber", "predict": "masked"}]
)
def test_every_way_trains(store, tmp_path, how):
    config = PretrainConfig(
        model=replace(LIKELIHOOD, depth=1, **how), steps=30, batch=32, lr=3e-3, precision="fp32",
        validate_every=10, checkpoint_every=30, random_order="patches",
    )  # fmt: skip
    model = pretrain(config, store.path, tmp_path / "run")
    log = (tmp_path / "run" / "log.csv").read_text().splitlines()
    first, last = (float(r.split(",")[6]) for r in (log[1], log[-1]))
    assert np.isfinite([first, last]).all() and last < first
    back = FoundationModel.load(tmp_path / "run")
    tokens = tokenize(model.config, store.read(np.arange(3)))
    assert back.config == model.config and torch.isfinite(embed_tokens(back, tokens)[0]).all()
