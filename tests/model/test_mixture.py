"""Mixtures: densities, calibration where there are two peaks, surprise, draws."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from euclidfm.core.errors import InputError
from euclidfm.embeddings import surprise_of
from euclidfm.generate import complete
from euclidfm.model import FoundationModel, tokenize
from euclidfm.model.likelihood import DegreesOfFreedom, Mixture, StudentT, mixture, student_t
from euclidfm.model.tokens import drop_modalities
from euclidfm.pretrain import PretrainConfig, pretrain
from samples import COARSE_VIS, SMALL, lively, surprisal

MIXTURE = replace(SMALL, images=(COARSE_VIS,), objective="likelihood", likelihood="mixture", components=3)


@pytest.fixture
def unscaled():
    return MIXTURE


def pit(m: Mixture, y: torch.Tensor) -> np.ndarray:
    """Probability below y, by scipy."""
    with torch.no_grad():
        z, w, nu = (v.double() for v in ((y[..., None] - m.locations) / m.scales, m.log_weights, m.dof))
        return (w.exp().numpy() * stats.t.cdf(z, nu[:, None])).sum(-1)


def test_density_integrates_to_one_and_is_the_sum_of_its_parts():
    raw = torch.tensor([[[0.3, -0.4, -2.0, 1.5, 0.1, 0.6]]], dtype=torch.float64)  # P = 1, K = 2
    m = mixture(raw, torch.tensor([4.0], dtype=torch.float64))
    assert m.locations.shape == (1, 1, 1, 2) and float(m.log_weights.exp().sum()) == pytest.approx(1)

    def density(y):
        return float(m.log_density(torch.full((1, 1, 1), y, dtype=torch.float64)).exp())

    assert integrate.quad(density, -np.inf, np.inf, limit=300)[0] == pytest.approx(1, abs=1e-5)
    mean = integrate.quad(lambda y: y * density(y), -np.inf, np.inf, limit=300)[0]
    assert float(m.location) == pytest.approx(mean, abs=1e-3)
    w, loc, scale = (v.flatten().numpy() for v in (m.log_weights.exp(), m.locations, m.scales))
    for y in (-3.0, 0.2, 8.0):
        assert density(y) == pytest.approx(float((w * stats.t.pdf(y, 4.0, loc, scale)).sum()), rel=1e-5)
    nats = integrate.quad(lambda y: -density(y) * np.log(density(y)), -200, 200, limit=500, points=[-1, 1])[0]
    assert float(m.entropy()) == pytest.approx(nats, abs=0.01)
    wide = m.with_error(torch.full((1, 1, 1), 3.0))
    np.testing.assert_allclose(wide.scales.flatten(), np.hypot(scale, 3.0), rtol=1e-6)


def test_a_mixture_of_equals_is_a_student_t():
    m = Mixture(torch.full((2, 1, 1, 3), 1 / 3).log(), torch.ones(2, 1, 1, 3), torch.full((2, 1, 1, 3), 0.5),
                torch.tensor([5.0]))  # fmt: skip
    t = StudentT(torch.ones(2, 1, 1), torch.full((2, 1, 1), 0.5), torch.tensor([5.0]))
    y = torch.tensor([[[0.2]], [[3.0]]])
    torch.testing.assert_close(m.log_density(y), t.log_density(y))
    torch.testing.assert_close(m.location, t.location)
    torch.testing.assert_close(m.scale, t.scale)
    torch.testing.assert_close(m.entropy(), t.entropy(), rtol=0, atol=5e-3)


def test_calibration_where_there_are_two_peaks():
    """Values on either side, by a coin: the PIT of the mixture is uniform; one Student-t cannot say it."""
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.uniform(0.5, 2, (9000, 1)).astype(np.float32))
    side = torch.from_numpy(rng.choice([-1.0, 1.0], (9000, 1), p=[0.3, 0.7]).astype(np.float32))
    y = (side * x + 0.1 * torch.from_numpy(rng.standard_normal((9000, 1)).astype(np.float32)))[:, None]
    loss = {}
    for say, numbers in ((mixture, 9), (student_t, 2)):
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(1, 32), torch.nn.GELU(), torch.nn.Linear(32, numbers))
        tails = DegreesOfFreedom(1)
        optimizer = torch.optim.Adam([*net.parameters(), *tails.parameters()], lr=0.02)
        cooling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 200)
        for _ in range(200):
            loss[say] = -say(net(x[:6000])[:, None], tails()).log_density(y[:6000]).mean()
            optimizer.zero_grad()
            loss[say].backward()
            loss[say] = loss[say].item()
            optimizer.step()
            cooling.step()
        if say is mixture:
            with torch.no_grad():
                told = mixture(net(x[6000:])[:, None], tails())
            distance = stats.kstest(pit(told, y[6000:]).ravel(), "uniform").statistic
            assert distance < 1.63 / np.sqrt(3000)  # 1% point of Kolmogorov's statistic
    entropy = 0.5 * np.log(2 * np.pi * np.e * 0.01) - 0.3 * np.log(0.3) - 0.7 * np.log(0.7)
    assert loss[mixture] == pytest.approx(entropy, abs=0.05) and loss[student_t] > loss[mixture] + 0.3


def test_surprise_is_minus_the_log_density(config, store):
    model = lively(config)
    galaxies = store.read(np.arange(4))
    galaxies.flux[2, 3] = np.nan
    tokens = tokenize(config, galaxies)
    nats = surprisal(model, tokens)["SED"]
    assert nats[2, 3].isnan() and nats.isfinite().sum() == 4 * 9 - 1
    with torch.no_grad():
        told = model.objective.distributions(model(tokens), tokens)["SED"]
    assert isinstance(told, Mixture) and told.locations.shape == (4, 9, 1, 3)
    torch.testing.assert_close(nats[0], -told.log_density(tokens["SED"].target)[0, :, 0])
    maps = surprise_of(model, galaxies, draws=2)
    assert np.isnan(list(maps[2].sed.values())[3])
    assert np.isfinite(list(maps[0].sed.values())).all()


def test_draws_are_of_the_distribution(config, store):
    model = lively(config)
    tokens = drop_modalities(tokenize(config, store.read(np.arange(400))), ("VIS",))
    wanted = {"VIS": torch.zeros_like(tokens["VIS"].valid), "SED": ~tokens["SED"].valid}
    one = complete(model, tokens, wanted, temperature=1.0, seeds=range(400))
    again = complete(model, tokens, wanted, temperature=1.0, seeds=range(400), cache=False)
    torch.testing.assert_close(one.tokens["SED"].target, again.tokens["SED"].target, rtol=1e-3, atol=1e-3)
    with torch.no_grad():
        told = model.objective.distributions(model(one.tokens), tokens)["SED"]
        soft = np.mean(np.log(list(config.sed_softening_ujy.values())))
        error = 1 / torch.cosh(told.location * config.sed_spread + config.sed_center - soft)
        told = told.with_error(error / config.sed_spread)
    for k in (0, 8):
        p = pit(told, one.tokens["SED"].target)[:, k].ravel()
        assert stats.kstest(p, "uniform").pvalue > 1e-3
    mean = complete(model, tokens, wanted).tokens["SED"].target[:, 0]
    torch.testing.assert_close(mean, told.location[:, 0], rtol=1e-4, atol=1e-4)


def test_it_trains_and_loads(store, tmp_path):
    config = PretrainConfig(
        model=MIXTURE, steps=40, batch=32, lr=3e-3, precision="fp32", validate_every=20, checkpoint_every=40
    )
    model = pretrain(config, store.path, tmp_path / "run")
    rows = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert float(rows[-1].split(",")[6]) < float(rows[2].split(",")[6])
    back = FoundationModel.load(tmp_path / "run")
    assert back.config == model.config and back.config.numbers == 9


def test_settings_that_make_no_sense():
    for wrong in ({"components": 1}, {"objective": "huber"}):
        with pytest.raises(InputError, match="a mixture needs"):
            replace(MIXTURE, **wrong)
