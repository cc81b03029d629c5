from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("speclite")

from euclidfm.core.bands import SED_BANDS, band
from euclidfm.simulate.cosmology import kpc_per_arcsec, luminosity_distance_mpc
from euclidfm.simulate.seds.attenuation import calzetti, igm_transmission
from euclidfm.simulate.seds.filters import WAVE, BandIntegrator
from euclidfm.simulate.seds.flux_table import galaxy_table
from euclidfm.simulate.seds.templates import template_weights


def test_flat_spectrum_has_the_same_ab_flux_in_every_band():
    """f_nu constant: f_lambda = c / lambda^2; with c = 1 every band must give 1."""
    bands = BandIntegrator(tuple(band(b).curve for b in SED_BANDS))
    np.testing.assert_allclose(bands(WAVE**-2.0), 1.0, rtol=1e-12)


def test_band_integration_against_a_hand_derivation():
    """f_lambda = lambda^a through the tabulated VIS curve, by trapezoids of the curve itself."""
    import speclite.filters

    curve = speclite.filters.load_filter("Euclid-VIS")
    wave, response = curve.wavelength / 10.0, curve.response
    slope = -1.3
    expected = np.trapezoid(wave**slope * response * wave, wave) / np.trapezoid(response / wave, wave)
    ours = BandIntegrator(("Euclid-VIS",))(WAVE**slope)[0]
    assert ours == pytest.approx(expected, rel=2e-3)


def test_speclite_gives_the_same_colour_of_a_redshifted_template():
    """An independent path: speclite's own AB magnitudes of the youngest elliptical at z = 0.5."""
    import astropy.units as u
    import speclite.filters

    from euclidfm.simulate.seds.templates import rest_templates

    wave, spectra = rest_templates()
    z = 0.5
    flux = spectra[0] / (1 + z) * 1e-17 * u.erg / (u.s * u.cm**2 * u.Angstrom)
    names = ("decam2014-r", "Euclid-VIS", "Euclid-H")
    mags = speclite.filters.load_filters(*names).get_ab_magnitudes(flux, wave * 10 * (1 + z) * u.Angstrom)
    theirs = np.array([float(mags[n][0]) for n in names])
    weights = template_weights(np.array([False]), *(np.array([v]) for v in (0.0, 0.0, 0.0, 0.0)))
    ours = galaxy_table().fluxes(weights, np.array([z]), np.array([0.0]))[0]
    ours = -2.5 * np.log10(ours[[SED_BANDS.index(b) for b in ("r", "VIS", "H")]])
    np.testing.assert_allclose(np.diff(ours), np.diff(theirs), atol=0.01)


def test_cosmology_golden_numbers():
    """Flat LCDM, H0 = 67.7, Om = 0.31, from astropy.cosmology.FlatLambdaCDM without radiation."""
    from astropy.cosmology import FlatLambdaCDM

    cosmos = FlatLambdaCDM(67.7, 0.31)
    z = np.array([0.1, 0.7, 2.0])
    np.testing.assert_allclose(luminosity_distance_mpc(z), cosmos.luminosity_distance(z).value, rtol=1e-4)
    np.testing.assert_allclose(kpc_per_arcsec(z), cosmos.kpc_proper_per_arcmin(z).value / 60, rtol=1e-4)


def test_a_stretched_curve_has_the_wavelength_asked_for():
    """f_nu flat gives 1 whatever the curve; a steep one goes as the mean wavelength does."""
    here, there = (BandIntegrator((name,)) for name in ("hsc2017-z", "hsc2017-z@950.0"))
    assert there(WAVE**-2.0)[0] == pytest.approx(1.0, rel=1e-12)
    ratio = there(WAVE**1.0)[0] / here(WAVE**1.0)[0]
    assert ratio == pytest.approx((950.0 / 889.8) ** 3, rel=0.02)


def test_dust_and_intergalactic_gas_behave():
    law = calzetti(np.array([150.0, 551.0, 1600.0]))
    assert law[1] == pytest.approx(1.0, abs=0.02)
    assert law[0] > 2.2 > 0.5 > law[2]
    seen = igm_transmission(np.array([300.0, 400.0, 600.0]), 3.0)
    assert seen[0] == 0.0
    assert 0.4 < seen[1] < 0.85
    assert seen[2] == 1.0
