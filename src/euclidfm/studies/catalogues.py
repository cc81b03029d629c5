"""The real spectroscopic catalogues: folders, ingest recipes, and settings of similar mock galaxies."""

from __future__ import annotations

from dataclasses import dataclass, field

from euclidfm.core.bands import band
from euclidfm.studies.mock_photometry import MockPhotometry

__all__ = ["CATALOGUES", "Catalogue"]


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """One catalogue of `euclidfm.studies.real_seds`."""

    folder: str
    """Folder below the root of the data."""
    recipe: str
    """Recipe of `euclidfm.ingest` for it."""
    mock: MockPhotometry = field(default_factory=MockPhotometry)
    """Mock galaxies that are added in pre-training; none without curves."""


def _like(*pairs: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Response curves, stretched to the catalogue's wavelength (`euclidfm.simulate.seds.BandIntegrator`)."""
    return tuple((name, f"{curve}@{band(name).wavelength_nm}") for name, curve in pairs)


CATALOGUES: dict[str, Catalogue] = {
    "zcosmos": Catalogue(
        folder="zcosmos",
        recipe="zcosmos",
        mock=MockPhotometry(
            curves=(
                ("u_cfht", "cfht_megacam-ustar"),
                *_like(
                    ("B_subaru", "bessell-B"),
                    ("g_subaru", "hsc2017-g"),
                    ("V_subaru", "bessell-V"),
                    ("r_subaru", "hsc2017-r"),
                    ("i_subaru", "hsc2017-i"),
                    ("z_subaru", "hsc2017-z"),
                    ("J_ukirt", "twomass-J"),
                    ("K_cfht", "twomass-Ks"),
                ),
            ),
            limit_band="i_subaru",
            limit_abmag=22.5,
            largest_z=1.6,
        ),
    ),
    "desi_bgs": Catalogue(
        folder="desi_bgs",
        recipe="desi-bgs",
        mock=MockPhotometry(
            curves=(("g_ls", "decam2014-g"), ("r_ls", "decam2014-r"), ("z_ls", "decam2014-z")),
            limit_band="r_ls",
            limit_abmag=20.3,
            largest_z=0.7,
            galaxies=20_000,
        ),
    ),
    "candels_cosmos": Catalogue(
        folder="candels_cosmos",
        recipe="candels-cosmos",
        mock=MockPhotometry(
            curves=_like(
                ("F606W", "bessell-V"), ("F814W", "hsc2017-i"), ("F125W", "twomass-J"), ("F160W", "twomass-H")
            ),
            limit_band="F814W",
            limit_abmag=24.5,
            largest_z=2.6,
            galaxies=20_000,
        ),
    ),
}
"""Catalogues by name. GALEX and WISE are outside the wavelengths of the mock's templates, so mock galaxies
have no fluxes there. Some galaxies of CANDELS are beyond the largest redshift of the mock, 2.6."""
