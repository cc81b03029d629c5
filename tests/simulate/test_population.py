"""The population against the relations it is drawn from, each computed here on its own."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("speclite")
pytest.importorskip("rail.utils")

from euclidfm.core.bands import SED_BANDS
from euclidfm.core.units import abmag_from_ujy
from euclidfm.simulate import SkyConfig
from euclidfm.simulate.cosmology import age_gyr, kpc_per_arcsec, volume_per_arcmin2
from euclidfm.simulate.images.shapes import components
from euclidfm.simulate.population.galaxies import draw_galaxies
from euclidfm.simulate.population.mass_function import mass_function, parent_density
from euclidfm.simulate.population.parent import draw_parent
from euclidfm.simulate.seds.templates import (
    FORMING,
    PASSIVE,
    TEMPLATES,
    template_weights,
    ultraviolet_colours,
)


@pytest.fixture(scope="module")
def parent() -> dict[str, np.ndarray]:
    return draw_parent(60_000, np.random.default_rng(3))


def test_mass_function_golden_number():
    """Davidzon et al. 2017, star-forming, 0.5 < z < 0.8, at 1e10 solar masses, by hand.

    x = 10**-0.4 = 0.3981: ln(10) exp(-x) = 1.5464; 1.661e-3 x**-0.32 = 2.230e-3;
    0.86e-3 x**1.84 = 0.158e-3; together 3.693e-3.
    """
    found = mass_function(np.array([10.0]), np.array([0.65]), quiescent=False)[0, 0]
    assert found == pytest.approx(3.693e-3, rel=1e-3)


def test_drawn_masses_follow_the_mass_function(parent):
    """Massive galaxies at 0.6 < z < 0.7 per Mpc^3, drawn and integrated."""
    here = (parent["z"] > 0.6) & (parent["z"] < 0.7) & (parent["log_mass"] > 10.5) & (parent["log_mass"] < 11)
    drawn = here.sum() / parent["z"].size * parent_density()
    masses, step = np.linspace(10.5, 11, 101, retstep=True)
    z = np.array([0.65])
    both = sum(mass_function(masses, z, q)[0] for q in (False, True))
    expected = np.trapezoid(both, dx=step) * float(volume_per_arcmin2(z, 0.1)[0])
    assert drawn == pytest.approx(expected, rel=4 / np.sqrt(here.sum()) + 0.02)


def test_star_formation_rates_scatter_about_the_main_sequence(parent):
    """Speagle et al. 2014, eq. 28, and 0.3 dex."""
    active = ~parent["quiescent"]
    t = age_gyr(parent["z"])
    sequence = (0.84 - 0.026 * t) * parent["log_mass"] - (6.51 - 0.11 * t)
    off = (parent["log_sfr"] - sequence)[active]
    assert np.median(off) == pytest.approx(0.0, abs=0.02)
    assert np.std(off) == pytest.approx(0.3, abs=0.02)
    assert np.median((parent["log_sfr"] - sequence)[~active]) < -1.4


def test_sizes_follow_the_relation_of_late_types(parent):
    """van der Wel et al. 2014: 8.9 kpc (1 + z)**-0.75 at 5e10 solar masses, slope 0.22, scatter 0.18 dex."""
    pick = ~parent["quiescent"] & ~parent["diffuse"]
    kpc = parent["re_arcsec"][pick] * kpc_per_arcsec(parent["z"][pick])
    mass, z = parent["log_mass"][pick], parent["z"][pick]
    off = np.log10(kpc) - (np.log10(8.9) - 0.75 * np.log10(1 + z) + 0.22 * (mass - np.log10(5e10)))
    assert np.median(off) == pytest.approx(0.0, abs=0.02)
    assert np.std(off) == pytest.approx(0.18, abs=0.02)


def test_quiescent_share_rises_with_mass_and_falls_with_redshift(parent):
    def share(z0: float, z1: float, m0: float) -> float:
        here = (np.abs(parent["z"] - (z0 + z1) / 2) < (z1 - z0) / 2) & (np.abs(parent["log_mass"] - m0) < 0.4)
        return float(parent["quiescent"][here].mean())

    assert share(0.3, 0.7, 9.4) < share(0.3, 0.7, 10.2) < share(0.3, 0.7, 11.0)
    assert share(1.2, 2.0, 10.8) < share(0.2, 0.6, 10.8)


def test_bulges_are_redder_than_their_discs():
    t = draw_galaxies(SkyConfig(objects=10), 800, np.random.default_rng(0))
    both = (t["bulge_flux"][:, 0] > 0) & (t["disc_flux"][:, 0] > 0) & ~t["quiescent"]
    colour = [
        abmag_from_ujy(t[k][both, SED_BANDS.index("g")]) - abmag_from_ujy(t[k][both, SED_BANDS.index("z")])
        for k in ("bulge_flux", "disc_flux")
    ]
    assert np.mean(colour[0] > colour[1]) > 0.75


@pytest.mark.parametrize("subtype", ["spiral", "barred", "ring", "irregular", "merger", "lens", "edge_on"])
def test_structure_only_moves_light_within_each_band(subtype):
    """Whatever is drawn, the components' fluxes sum to the galaxy's, band by band (a lens adds its arcs)."""
    rng = np.random.default_rng(5)
    galaxy = {
        "re_arcsec": 0.8, "bulge_re_arcsec": 0.2, "axis_ratio": 0.6, "position_angle": 30.0,
        "sersic_index": 2.5, "z": 0.5,
    }  # fmt: skip
    bulge, disc = rng.uniform(1, 5, 9), rng.uniform(5, 20, 9)
    total = np.sum([c.flux for c in components(subtype, galaxy, bulge, disc, rng)], axis=0)
    vis = SED_BANDS.index("VIS")
    if subtype == "lens":
        assert total[vis] == pytest.approx((bulge + disc)[vis], rel=1e-6)
    else:
        np.testing.assert_allclose(total, bulge + disc, rtol=1e-6)


def test_spectra_are_continuous_and_ordered():
    """Every place between templates is a mixture of two neighbours; the ultraviolet colour comes back."""
    passive, forming = ultraviolet_colours()
    assert len(passive) == len(PASSIVE)
    assert np.all(np.diff(np.maximum.accumulate(-forming)) >= 0)
    n = 200
    colour = np.linspace(forming[0], forming[-1], n)
    none = np.zeros(n)
    w = template_weights(np.ones(n, bool), colour, none, none, none)
    assert w.shape == (n, len(TEMPLATES))
    np.testing.assert_allclose(w.sum(1), 1.0)
    assert np.all((w > 1e-12).sum(1) <= 2)
    assert len(FORMING) + len(PASSIVE) + 1 == len(TEMPLATES)
    young = template_weights(np.zeros(2, bool), none[:2], np.array([0.0, 1.0]), none[:2], none[:2])
    assert young[0].argmax() == 0
    assert young[1].argmax() == len(PASSIVE) - 1
