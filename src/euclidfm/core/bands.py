"""The table of bands: every fact about a band has its one home here.

The whole package reads names, wavelengths, pixel scales, zero points, depths and PSF widths of bands
from `BANDS`. To add a band, add one row; `source` says where its numbers are from. Conversions of
fluxes are in `euclidfm.core.units`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from euclidfm.core.units import AB_ZEROPOINT_UJY

__all__ = [
    "BANDS",
    "EUCLID_BANDS",
    "NISP_BANDS",
    "PIXEL_ARCSEC",
    "SED_BANDS",
    "Band",
    "band",
    "resolve_bands",
]

PIXEL_ARCSEC = 0.1
"""Pixel scale of the MER mosaics: one grid for VIS and the resampled NISP and
ground-based images (Euclid Collaboration: Romelli et al. 2025)."""


@dataclass(frozen=True, kw_only=True)
class Band:
    """One photometric band.

    Attributes
    ----------
    name : str
        Key used everywhere (``"VIS"``, ``"Y"``, ``"g"``): upper case for
        space-based bands, the survey's own case for the ground.
    instrument : str
        Telescope or camera.
    wavelength_nm : float
        Effective wavelength.
    curve : str
        Name of the response curve in the ``speclite`` package, or ``""``.
    mosaic : str
        Name of the band in MER mosaic file names (``"NIR-Y"``), or ``""``.
    column : str
        Stem of the band in the MER catalogue columns, lower case
        (``"g_ext_decam"``), or ``""``.
    magzero : float
        Zero point of the simulated mosaics. Reading uses the header's ``MAGZERO`` instead.
    pixel_rms_ujy : float
        Typical value of the Q1 RMS map, µJy per 0.1" pixel; NaN if there is none.
    noise_correlation : float
        Ratio of the standard deviation of neighbouring sky pixels to the RMS map
        (below 1: resampling correlates the noise).
    depth_mag : float
        5 sigma point-source depth, AB.
    psf_fwhm_arcsec : float
        Width of the PSF in the mosaic; NaN where it does not apply.
    sky_mag_arcsec2 : float
        Surface brightness of the sky, AB per square arcsec; NaN if it is not used.
    source : str
        Where the numbers come from.
    """

    name: str
    instrument: str
    wavelength_nm: float
    curve: str = ""
    mosaic: str = ""
    column: str = ""
    magzero: float = AB_ZEROPOINT_UJY
    pixel_rms_ujy: float = float("nan")
    noise_correlation: float = 1.0
    depth_mag: float = float("nan")
    psf_fwhm_arcsec: float = float("nan")
    sky_mag_arcsec2: float = float("nan")
    source: str = ""

    @property
    def extension(self) -> str:
        """Name of the band in the extensions of cutout files (``"NIR_Y"``), or ``""``."""
        return self.mosaic.replace("-", "_")


# Effective wavelengths of the Euclid bands: Euclid Collaboration: Schirmer et al. 2022
# (A&A 662, A92) and Cropper et al. 2025, as carried by speclite. RMS, noise correlation,
# PSF width and MAGZERO: medians over public Euclid Q1 MER cutouts (headers and RMS HDUs).
# Depths: Euclid Collaboration: Mellier et al. 2025 (A&A 697, A1), 5 sigma point source.
# Ground, south (DECam): DES DR2 (Abbott et al. 2021, ApJS 255, 20), S/N = 10 in 1.95",
# made 5 sigma by + 0.75 mag; the u depth is that of UNIONS/CFIS (Ibata et al. 2017). Ground,
# north: UNIONS (Gwyn et al. 2025, arXiv:2503.13783), 10 sigma in 2", made 5 sigma likewise.
# Sky brightness: zodiacal light at high latitude as in the pre-launch exposure calculators
# (Scaramella et al. 2022, A&A 662, A112).
_Q1 = "Q1 MER cutouts; Mellier et al. 2025"
_UNIONS = "UNIONS, Gwyn et al. 2025; Q1 MER cutouts"
_DES = "DES DR2, Abbott et al. 2021; Q1 MER cutouts"
_TABLE = (
    Band(
        name="u", instrument="MegaCam", wavelength_nm=368.0, curve="cfht_megacam-u",
        mosaic="MEGACAM-U", column="u_ext_megacam", magzero=30.0, pixel_rms_ujy=0.0074,
        noise_correlation=0.4, depth_mag=24.9, psf_fwhm_arcsec=0.95,
        source="UNIONS, Ibata et al. 2017; Q1 MER cutouts",
    ),
    Band(
        name="g", instrument="DECam", wavelength_nm=481.0, curve="decam2014-g",
        mosaic="DES-G", column="g_ext_decam", magzero=30.0, pixel_rms_ujy=0.0029,
        noise_correlation=0.22, depth_mag=25.45, psf_fwhm_arcsec=1.32, source=_DES,
    ),
    Band(
        name="r", instrument="DECam", wavelength_nm=644.0, curve="decam2014-r",
        mosaic="DES-R", column="r_ext_decam", magzero=30.0, pixel_rms_ujy=0.0039,
        noise_correlation=0.26, depth_mag=25.15, psf_fwhm_arcsec=1.16, source=_DES,
    ),
    Band(
        name="i", instrument="DECam", wavelength_nm=783.0, curve="decam2014-i",
        mosaic="DES-I", column="i_ext_decam", magzero=30.0, pixel_rms_ujy=0.0064,
        noise_correlation=0.27, depth_mag=24.55, psf_fwhm_arcsec=1.05, source=_DES,
    ),
    Band(
        name="z", instrument="DECam", wavelength_nm=926.0, curve="decam2014-z",
        mosaic="DES-Z", column="z_ext_decam", magzero=30.0, pixel_rms_ujy=0.0117,
        noise_correlation=0.26, depth_mag=23.85, psf_fwhm_arcsec=1.05, source=_DES,
    ),
    Band(
        name="VIS", instrument="Euclid/VIS", wavelength_nm=715.0, curve="Euclid-VIS",
        mosaic="VIS", column="vis", magzero=24.6, pixel_rms_ujy=0.0021,
        noise_correlation=0.72, depth_mag=26.2, psf_fwhm_arcsec=0.214, sky_mag_arcsec2=22.3,
        source=_Q1,
    ),
    Band(
        name="Y", instrument="Euclid/NISP", wavelength_nm=1081.0, curve="Euclid-Y",
        mosaic="NIR-Y", column="y", magzero=29.8, pixel_rms_ujy=0.0105,
        noise_correlation=0.25, depth_mag=24.3, psf_fwhm_arcsec=0.504, sky_mag_arcsec2=22.1,
        source=_Q1,
    ),
    Band(
        name="J", instrument="Euclid/NISP", wavelength_nm=1367.0, curve="Euclid-J",
        mosaic="NIR-J", column="j", magzero=30.0, pixel_rms_ujy=0.0090,
        noise_correlation=0.25, depth_mag=24.5, psf_fwhm_arcsec=0.461, sky_mag_arcsec2=22.2,
        source=_Q1,
    ),
    Band(
        name="H", instrument="Euclid/NISP", wavelength_nm=1771.0, curve="Euclid-H",
        mosaic="NIR-H", column="h", magzero=29.9, pixel_rms_ujy=0.0092,
        noise_correlation=0.27, depth_mag=24.4, psf_fwhm_arcsec=0.587, sky_mag_arcsec2=22.3,
        source=_Q1,
    ),
    # Other ground-based bands that Q1's northern field uses.
    Band(name="g_hsc", instrument="HSC", wavelength_nm=481.0, curve="hsc2017-g",
         mosaic="HSC-G", column="g_ext_hsc", magzero=30.0, pixel_rms_ujy=0.0012,
         noise_correlation=0.5, depth_mag=25.25, source=_UNIONS),
    Band(name="r_megacam", instrument="MegaCam", wavelength_nm=640.0, curve="cfht_megacam-r",
         mosaic="MEGACAM-R", column="r_ext_megacam", magzero=30.0, pixel_rms_ujy=0.0046,
         noise_correlation=0.44, depth_mag=24.95, source=_UNIONS),
    Band(name="i_panstarrs", instrument="Pan-STARRS", wavelength_nm=755.0, curve="panstarrs-i",
         mosaic="PANSTARRS-I", column="i_ext_panstarrs", magzero=30.0, depth_mag=24.55,
         source="Tonry et al. 2012; Gwyn et al. 2025"),
    Band(name="z_hsc", instrument="HSC", wavelength_nm=891.0, curve="hsc2017-z",
         mosaic="HSC-Z", column="z_ext_hsc", magzero=30.0, pixel_rms_ujy=0.0075,
         noise_correlation=0.53, depth_mag=24.05, source=_UNIONS),
    # Bands of the external photometric catalogues with spectroscopic redshifts.
    Band(name="FUV", instrument="GALEX", wavelength_nm=153.9, source="Morrissey et al. 2007"),
    Band(name="NUV", instrument="GALEX", wavelength_nm=231.6, source="Morrissey et al. 2007"),
    Band(name="u_cfht", instrument="MegaCam", wavelength_nm=391.1,
         source="Ilbert et al. 2009, Table 1"),
    Band(name="B_subaru", instrument="Suprime-Cam", wavelength_nm=444.0,
         source="Ilbert et al. 2009, Table 1"),
    Band(name="g_subaru", instrument="Suprime-Cam", wavelength_nm=472.8,
         source="Ilbert et al. 2009, Table 1"),
    Band(name="V_subaru", instrument="Suprime-Cam", wavelength_nm=544.9,
         source="Ilbert et al. 2009, Table 1"),
    Band(name="r_subaru", instrument="Suprime-Cam", wavelength_nm=623.2,
         source="Ilbert et al. 2009, Table 1"),
    Band(name="i_subaru", instrument="Suprime-Cam", wavelength_nm=762.9,
         source="Ilbert et al. 2009, Table 1"),
    Band(name="z_subaru", instrument="Suprime-Cam", wavelength_nm=902.2,
         source="Ilbert et al. 2009, Table 1"),
    Band(name="J_ukirt", instrument="WFCAM", wavelength_nm=1244.4,
         source="Ilbert et al. 2009, Table 1"),
    Band(name="K_cfht", instrument="WIRCam", wavelength_nm=2148.0,
         source="Ilbert et al. 2009, Table 1"),
    Band(name="g_ls", instrument="DESI Legacy Surveys", wavelength_nm=477.0,
         source="Dey et al. 2019"),
    Band(name="r_ls", instrument="DESI Legacy Surveys", wavelength_nm=643.0,
         source="Dey et al. 2019"),
    Band(name="z_ls", instrument="DESI Legacy Surveys", wavelength_nm=917.0,
         source="Dey et al. 2019"),
    Band(name="W1", instrument="WISE", wavelength_nm=3352.6, source="Wright et al. 2010"),
    Band(name="W2", instrument="WISE", wavelength_nm=4602.8, source="Wright et al. 2010"),
    Band(name="F606W", instrument="HST/ACS", wavelength_nm=592.1, source="ACS handbook"),
    Band(name="F814W", instrument="HST/ACS", wavelength_nm=804.5, source="ACS handbook"),
    Band(name="F125W", instrument="HST/WFC3", wavelength_nm=1248.6, source="WFC3 handbook"),
    Band(name="F160W", instrument="HST/WFC3", wavelength_nm=1536.9, source="WFC3 handbook"),
)  # fmt: skip

BANDS: dict[str, Band] = {b.name: b for b in _TABLE}
"""All known bands by name."""

EUCLID_BANDS = ("VIS", "Y", "J", "H")
"""The four Euclid bands that have images."""

NISP_BANDS = ("Y", "J", "H")
"""The three infrared bands."""

SED_BANDS = ("u", "g", "r", "i", "z", "VIS", "Y", "J", "H")
"""The nine bands of the default SED, in the order of the reference work."""


def band(name: str) -> Band:
    """Row of the survey table.

    Raises
    ------
    KeyError
        If the band is unknown; the message lists the known ones.
    """
    try:
        return BANDS[name]
    except KeyError:
        msg = f"unknown band {name!r}; known bands: {', '.join(BANDS)}"
        raise KeyError(msg) from None


def resolve_bands(names: Iterable[str], wavelengths_nm: dict[str, float] | None = None) -> list[Band]:
    """Look bands up, taking the wavelength of unknown ones from the caller.

    Parameters
    ----------
    names : iterable of str
    wavelengths_nm : dict, optional
        Effective wavelengths of bands that the table does not have.
    """
    extra = wavelengths_nm or {}
    return [
        Band(name=n, instrument="user", wavelength_nm=float(extra[n]), source="user")
        if n in extra
        else band(n)
        for n in names
    ]
