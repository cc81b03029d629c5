from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("speclite")
pytest.importorskip("rail.utils")

from euclidfm.core.errors import InputError
from euclidfm.simulate import SkyConfig, simulate_sky, validate_sky
from euclidfm.simulate.images.components import Psf
from euclidfm.simulate.images.transforms import moffat_transform
from euclidfm.simulate.population.mass_function import parent_density
from euclidfm.simulate.validation import compare


def test_classifier_sees_no_difference_between_equal_samples_and_a_large_one():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((400, 3)), rng.standard_normal((400, 3))
    assert compare.classifier_accuracy(a, b) < 0.58
    assert compare.classifier_accuracy(a, b + 3.0) > 0.95


def test_distances_of_a_shifted_sample():
    rng = np.random.default_rng(0)
    a = compare.Sample(("x", "y"), rng.standard_normal((2000, 2)))
    b = compare.Sample(("x", "y"), a.values + np.array([0.0, 0.5]))
    d = compare.distances(a, b)
    assert d["x"]["ks"] == 0.0
    assert d["y"]["wasserstein"] == pytest.approx(0.5)
    assert d["y"]["median_mock_minus_real"] == pytest.approx(0.5)


def test_natural_density_is_that_of_the_real_sky():
    """30 galaxies per arcmin^2 to VIS 24.5 (Laureijs et al. 2011, arXiv:1110.3193), within a factor of 2.

    The mock has 20: docs/sky.md says so.
    """
    cfg = SkyConfig(objects=10, tiles=1, density=None, faint_thinning=0.0)
    galaxies = cfg.natural_density * (1 - cfg.star_fraction - cfg.quasar_fraction - cfg.artefact_fraction)
    assert 15 < galaxies < 60
    assert parent_density() > galaxies


def test_psf_transform_is_that_of_a_moffat():
    """At zero frequency 1, and falling: the value at 1 cycle per arcsec by direct integration."""
    psf = Psf(fwhm=0.5, beta=3.0)
    r = np.linspace(0, 60, 400_001)
    r_d = psf.fwhm / (2 * np.sqrt(2 ** (1 / 3) - 1))
    profile = (1 + (r / r_d) ** 2) ** -3.0 * r
    from scipy.special import j0

    direct = np.trapezoid(profile * j0(2 * np.pi * r), r) / np.trapezoid(profile, r)
    np.testing.assert_allclose(moffat_transform(np.array([0.0, 1.0]), psf), [1.0, direct], rtol=2e-3)


def test_a_folder_without_a_sky_is_a_clear_error(tmp_path):
    with pytest.raises(InputError, match="holds no truth"):
        validate_sky(tmp_path, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_validation_without_real_data(tmp_path, monkeypatch):
    monkeypatch.setenv("EUCLIDFM_REAL_DATA", str(tmp_path / "nowhere"))
    simulate_sky(SkyConfig(objects=80, tiles=1, seed=2), tmp_path / "sky")
    validate_sky(tmp_path / "sky", tmp_path / "out")
    result = json.loads((tmp_path / "out" / "validation.json").read_text())
    assert result["real_data"] is False
    for name in ("counts", "redshifts", "planes", "contact"):
        assert (tmp_path / "out" / f"{name}.png").stat().st_size > 5000


@pytest.mark.slow
@pytest.mark.real_data
def test_colours_are_near_those_of_zcosmos(real_data):
    real, mock = compare.zcosmos_pair(real_data, np.random.default_rng(0))
    scores = compare.distances(real, mock)
    for name in ("u-V", "V-r", "r-i", "i-z", "z-K"):
        assert scores[name]["wasserstein"] < 0.2, name
