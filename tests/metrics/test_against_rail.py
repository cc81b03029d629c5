"""Our metrics against RAIL's and qp's own, to the digit, where they define the same thing."""

from __future__ import annotations

import numpy as np
import pytest

from euclidfm.core.errors import InputError
from euclidfm.metrics import densities, points
from euclidfm.metrics.densities import cdf_on_grid, quantiles, scores
from euclidfm.tasks.density.qp_file import write_qp

rail = pytest.importorskip("rail.evaluation.metrics.pointestimates", reason="needs pz-rail-base")
qp = pytest.importorskip("qp", reason="needs qp-prob")
GRID = np.linspace(0.0, 2.0, 401)


@pytest.fixture(scope="module")
def estimates() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    z = rng.uniform(0.05, 1.5, 3000)
    phot = z + (1 + z) * (0.01 + 0.03 * rng.standard_t(2.5, z.size))
    return phot, z


@pytest.fixture(scope="module")
def gaussians() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    mu, sigma = rng.uniform(0.4, 1.4, 300), rng.uniform(0.03, 0.1, 300)
    pdf = np.exp(-0.5 * ((GRID - mu[:, None]) / sigma[:, None]) ** 2) / sigma[:, None] / np.sqrt(2 * np.pi)
    return pdf, mu + sigma * rng.standard_normal(300)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("PointBias", np.median),
        ("PointSigmaIQR", points.sigma_iqr),
        ("PointSigmaMAD", points.nmad),
        ("PointOutlierRate", points.outliers_rail),
    ],
)
def test_point_metrics_are_rails(estimates, theirs, ours):
    phot, z = estimates
    expected = float(getattr(rail, theirs)(phot, z).evaluate())
    assert float(ours(points.redshift_error(phot, z))) == pytest.approx(expected, rel=2e-5)


def test_pit_and_quantiles_are_those_of_the_ensemble(gaussians, tmp_path):
    pdf, z = gaussians
    write_qp(tmp_path / "pz.hdf5", GRID, pdf, np.arange(len(pdf)))
    ensemble = qp.read(str(tmp_path / "pz.hdf5"))
    theirs = np.array([float(ensemble[i].cdf(z[i])) for i in range(40)])
    np.testing.assert_allclose(scores(GRID, pdf, z).pit[:40], theirs, atol=2e-4)
    ours = quantiles(GRID, cdf_on_grid(GRID, pdf)[1], np.array([0.16, 0.5, 0.84]))
    np.testing.assert_allclose(ours, np.hstack([ensemble.ppf(q) for q in (0.16, 0.5, 0.84)]), atol=1e-3)


def test_distances_of_pit_from_uniform_are_qps(gaussians, tmp_path):
    from qp.metrics.goodness_of_fit import goodness_of_fit_metrics
    from scipy.stats import uniform

    pdf, z = gaussians
    pit = np.clip(scores(GRID, pdf, z).pit, 1e-4, 0.9999)  # as ours clips for Anderson-Darling
    n, theirs = len(z), {k: float(f(uniform, pit)) for k, f in goodness_of_fit_metrics.items()}
    assert float(densities.pit_ks(pit)) == pytest.approx(theirs["ks"], rel=1e-9)
    assert float(densities.pit_cvm(pit)) == pytest.approx(np.sqrt(theirs["cvm"] / n), rel=1e-9)
    assert float(densities.pit_ad(pit)) == pytest.approx(np.sqrt(theirs["ad"] / n), rel=1e-9)


def test_cde_loss_is_rails_where_truths_lie_on_the_grid(gaussians):
    loss = pytest.importorskip("rail.evaluation.metrics.cdeloss", reason="needs pz-rail-base")
    pdf, z = gaussians
    z = GRID[np.abs(GRID - z[:, None]).argmin(axis=1)]
    pdf = cdf_on_grid(GRID, pdf)[0]
    ensemble = qp.Ensemble(qp.interp, data={"xvals": GRID, "yvals": pdf})
    theirs = float(loss.CDELoss(ensemble, GRID, z).evaluate().statistic)
    assert float(densities.DENSITY["cde_loss"](*scores(GRID, pdf, z).arrays())) == pytest.approx(
        theirs, rel=1e-3
    )


def test_ensemble_keeps_identifiers_and_leaves_out_what_has_no_density(gaussians, tmp_path):
    pdf = gaussians[0].copy()
    pdf[3] = np.nan
    ids = -570040238507752998 - np.arange(len(pdf))
    ensemble = qp.read(str(write_qp(tmp_path / "pz.hdf5", GRID, pdf, ids)))
    assert ensemble.npdf == len(pdf) - 1
    np.testing.assert_array_equal(ensemble.ancil["object_id"], np.delete(ids, 3))
    np.testing.assert_allclose(ensemble.pdf(GRID[100:110])[0], pdf[0, 100:110], rtol=1e-3, atol=1e-12)
    assert [p.name for p in tmp_path.iterdir()] == ["pz.hdf5"]


def test_ensemble_that_cannot_be_written_is_a_sentence(gaussians, tmp_path):
    with pytest.raises(InputError, match=r"\.hdf5 or \.fits"):
        write_qp(tmp_path / "pz.txt", GRID, gaussians[0], np.arange(300))
    with pytest.raises(InputError, match="no object has a density"):
        write_qp(tmp_path / "pz.hdf5", GRID, np.full((2, len(GRID)), np.nan), np.arange(2))
