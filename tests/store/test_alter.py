"""Galaxies made noisier and fainter: noise and flux are what they should be, masks stay."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from euclidfm.store import Galaxies
from euclidfm.store.alter import dimmer, noisier


def flat(n=40, size=32, sigma=0.01, flux=0.05):
    rng = np.random.default_rng(0)
    image = (flux + rng.normal(0, sigma, (n, size, size))).astype(np.float32)
    mask = np.zeros(image.shape, bool)
    mask[:, 0] = True
    image[mask] = 0.0
    error = np.full((n, 2), 0.5, np.float32)
    fluxes = (10 + rng.normal(0, 0.5, (n, 2))).astype(np.float32)
    fluxes[0, 1] = error[0, 1] = np.nan
    return Galaxies(
        object_id=np.arange(n), ra=np.zeros(n), dec=np.zeros(n), tile=np.zeros(n, np.int64),
        split=np.array(["test"] * n), images={"VIS": image}, masks={"VIS": mask},
        noise={"VIS": np.full(n, sigma, np.float32)}, flux=fluxes, fluxerr=error, sed_bands=("u", "g"),
    )  # fmt: skip


@settings(max_examples=10, deadline=None)
@given(factor=st.floats(1.0, 4.0), seed=st.integers(0, 100))
def test_noise_grows_by_the_factor(factor, seed):
    before = flat()
    after = noisier(before, factor, np.random.default_rng(seed))
    seen = ~before.masks["VIS"]
    assert after.images["VIS"][seen].std() == pytest.approx(0.01 * factor, rel=0.05)
    assert after.images["VIS"][seen].mean() == pytest.approx(0.05, abs=1e-3)
    assert (after.images["VIS"][~seen] == 0).all() and after.masks["VIS"] is before.masks["VIS"]
    np.testing.assert_allclose(after.noise["VIS"], 0.01 * factor, rtol=1e-5)
    np.testing.assert_allclose(after.fluxerr[1:], 0.5 * factor, rtol=1e-5)
    assert np.isnan(after.flux[0, 1]) and np.isfinite(after.flux[1:]).all()


@settings(max_examples=10, deadline=None)
@given(m=st.floats(0.0, 3.0))
def test_dimmed_galaxies_keep_the_survey_noise(m):
    before = flat()
    after = dimmer(before, np.full(len(before), m), np.random.default_rng(1))
    seen = ~before.masks["VIS"]
    k = 10 ** (-0.4 * m)
    assert after.images["VIS"][seen].mean() == pytest.approx(0.05 * k, abs=1e-3)
    assert after.images["VIS"][seen].std() == pytest.approx(0.01, rel=0.05)
    assert np.nanmean(after.flux) == pytest.approx(10 * k, abs=0.4)
    assert np.nanstd(after.flux) == pytest.approx(0.5, rel=0.35)
    np.testing.assert_allclose(after.noise["VIS"], 0.01, rtol=1e-5)


def test_impossible_wishes_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="below 1"):
        noisier(flat(2), 0.5, rng)
    with pytest.raises(ValueError, match="negative"):
        dimmer(flat(2), np.array([0.0, -1.0]), rng)
