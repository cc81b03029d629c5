"""Mock galaxies with the photometry of a real catalogue, for pre-training on both together.

The mock galaxies are those of `euclidfm.simulate`, observed through response curves like the catalogue's,
with the errors of real galaxies of similar brightness. Each band is shifted so that median colours agree
with the real galaxies (no labels are used), since zero points of real catalogues are wrong by up to some
tenths of a magnitude. Each mock galaxy also gets its own random zero points (`MockPhotometry.zero_point`),
so that a model learns not to rely on differences of a hundredth of a magnitude.

Mock galaxies have a known redshift in the column `z_spec`; real galaxies have NaN there.

Shapes: N mock galaxies, R real ones, K bands.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.store import Column, Galaxies, GalaxyStore, StoreInfo, StoreWriter

__all__ = ["MockPhotometry", "write_mixed_store"]


@dataclass(frozen=True, kw_only=True)
class MockPhotometry:
    """Settings of the mock galaxies for a catalogue."""

    curves: tuple[tuple[str, str], ...] = ()
    """(band of the catalogue, speclite response curve); the mock has no flux in other bands."""
    limit_band: str = ""
    """Band of the flux limit, one of `curves`."""
    limit_abmag: float = 22.5
    """Faint limit of the mock galaxies in `limit_band`, AB magnitude."""
    largest_z: float = 1.6
    """Largest redshift of the mock galaxies."""
    galaxies: int = 40_000
    """Largest number of mock galaxies."""
    extra_error: float = 0.02
    """Error in ln flux from templates and aperture corrections, added to the catalogued one."""
    zero_point: float = 0.04
    """Scatter of the random zero points of each mock galaxy and band, in ln flux."""
    split: dict[str, float] = field(default_factory=lambda: {"train": 0.96, "validation": 0.04})
    """Fractions of the mock galaxies in each split."""


def write_mixed_store(config: MockPhotometry, real: GalaxyStore, path: str | Path, seed: int = 0) -> None:
    """Write a store of mock galaxies and of the unlabelled real ones of split ``train``.

    Parameters
    ----------
    config : MockPhotometry
    real : GalaxyStore
    path : path
        Folder of the new store.
    seed : int

    Raises
    ------
    InputError
        If the catalogue lacks a band of `curves`, or no mock galaxy remains.
    """
    names = [n for n, _ in config.curves]
    missing = [n for n in (*names, config.limit_band) if n not in real.info.sed_names]
    if not names or missing:
        have = ", ".join(real.info.sed_names)
        msg = f"mock photometry needs curves of bands of the catalogue ({have}); it has none for {missing}"
        raise InputError(msg)
    rng = np.random.default_rng([seed, 31])
    rows = real.rows("train")
    index = real.index.take(rows)
    flux = np.stack([index.column(f"flux_{b}").to_numpy() for b in real.info.sed_names], axis=1)
    error = np.stack([index.column(f"fluxerr_{b}").to_numpy() for b in real.info.sed_names], axis=1)
    own = [real.info.sed_names.index(n) for n in names]
    mock, z = _draw(config, rng)
    reference = names.index(config.limit_band)
    shift = _shift(mock, flux[:, own].astype(float), reference)
    mock = mock * np.exp(shift)
    noise = _errors_like(mock, flux[:, own].astype(float), error[:, own].astype(float), reference, rng)
    known = np.where(np.isfinite(noise), noise, 0.0)
    blur = np.exp(rng.normal(size=mock.shape) * config.zero_point)
    seen = mock * blur + rng.normal(size=mock.shape) * np.hypot(known, config.extra_error * mock)
    n = len(mock)
    all_flux = np.full((n, flux.shape[1]), np.nan, np.float32)
    all_error = np.full_like(all_flux, np.nan)
    all_flux[:, own], all_error[:, own] = seen, noise
    split = rng.choice(list(config.split), n, p=list(config.split.values()))
    info = StoreInfo(
        sed_bands=real.info.sed_bands,
        columns=(
            Column(name="z_spec", description="redshift, of mock galaxies alone"),
            Column(name="is_mock", type="bool", role="meta"),
        ),
    )
    with StoreWriter(Path(path), info) as writer:
        writer.add(_galaxies(real, -1 - np.arange(n), split, all_flux, all_error, z, True))
        ids = index.column("object_id").to_numpy()
        writer.add(_galaxies(real, ids, np.full(len(ids), "train"), flux, error, np.full(len(ids), np.nan)))


def _galaxies(
    real: GalaxyStore,
    ids: np.ndarray,
    split: np.ndarray,
    flux: np.ndarray,
    error: np.ndarray,
    z: np.ndarray,
    mock: bool = False,
) -> Galaxies:
    n = len(ids)
    return Galaxies(
        object_id=ids.astype(np.int64),
        ra=np.full(n, np.nan),
        dec=np.full(n, np.nan),
        tile=np.full(n, -1, np.int64),
        split=split,
        images={},
        masks={},
        noise={},
        flux=flux.astype(np.float32),
        fluxerr=error.astype(np.float32),
        sed_bands=real.info.sed_names,
        columns={"z_spec": z, "is_mock": np.full(n, mock)},
    )


def _draw(config: MockPhotometry, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(N, K) fluxes in µJy without noise, and redshifts, of a flux-limited mock."""
    from euclidfm.core.units import abmag_from_ujy
    from euclidfm.simulate.population.parent import draw_parent, galaxy_fluxes
    from euclidfm.simulate.seds.flux_table import galaxy_table

    table = galaxy_table(tuple(c for _, c in config.curves))
    column = [n for n, _ in config.curves].index(config.limit_band)
    fluxes: list[np.ndarray] = []
    redshifts: list[np.ndarray] = []
    have = 0
    for _ in range(12):
        parent = draw_parent(min(100_000, 20 * config.galaxies), rng)
        bulge, disc = galaxy_fluxes(parent, table)
        total = bulge + disc
        keep = (abmag_from_ujy(total[:, column]) < config.limit_abmag) & (parent["z"] < config.largest_z)
        keep &= (total > 0).all(axis=1)
        fluxes.append(total[keep])
        redshifts.append(parent["z"][keep])
        have += int(keep.sum())
        if have >= config.galaxies:
            break
    if not have:
        limit = f"{config.limit_band} = {config.limit_abmag}"
        msg = f"no mock galaxy is brighter than {limit}; use a fainter limit"
        raise InputError(msg)
    return np.concatenate(fluxes)[: config.galaxies], np.concatenate(redshifts)[: config.galaxies]


def _shift(mock: np.ndarray, flux: np.ndarray, reference: int) -> np.ndarray:
    """(K,) ln flux to add to the mock's bands so that median colours to the reference band agree."""
    both = (flux > 0) & (flux[:, reference : reference + 1] > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        colour = np.where(both, np.log(flux) - np.log(flux[:, reference : reference + 1]), np.nan)
    theirs = np.log(mock) - np.log(mock[:, reference : reference + 1])
    seen = both.any(axis=0)
    found = np.zeros(mock.shape[1])
    found[seen] = np.nanmedian(colour[:, seen], axis=0) - np.median(theirs[:, seen], axis=0)
    return found


def _errors_like(
    mock: np.ndarray, flux: np.ndarray, error: np.ndarray, reference: int, rng: np.random.Generator
) -> np.ndarray:
    """(N, K) errors of real galaxies of similar brightness in the reference band; NaN where unknown."""
    real = np.flatnonzero(flux[:, reference] > 0)
    order = real[np.argsort(flux[real, reference])]
    near = np.searchsorted(flux[order, reference], mock[:, reference]) + rng.integers(-30, 31, len(mock))
    out = error[order[near.clip(0, len(order) - 1)]].copy()
    median_error = (
        np.nanmedian(error, axis=0) if np.isfinite(error).any() else np.full(error.shape[1], np.nan)
    )
    return np.where(np.isfinite(out), out, median_error)
