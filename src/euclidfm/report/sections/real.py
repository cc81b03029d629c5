"""Real galaxies: their bands, their SED, and their nearest mock galaxies in the embedding space."""

from __future__ import annotations

from html import escape

import numpy as np

from euclidfm.core.bands import Band
from euclidfm.core.ids import match_ids
from euclidfm.discover.space import finite_rows
from euclidfm.report.html import Section, caption, missing, number, stamp
from euclidfm.report.inputs import ReportData
from euclidfm.report.sections.neighbours import neighbour_cards
from euclidfm.report.sheets.stamps import pictures
from euclidfm.report.style import COLOURS, MUTED, figure, svg
from euclidfm.store import Galaxies

__all__ = ["section"]

_TITLE = "Real galaxies"
_NEIGHBOURS = 6
_MAX = 60


def section(data: ReportData) -> Section:
    """One card for each real galaxy."""
    real = data.real
    if real.store is None:
        return missing("real", _TITLE, "No real galaxies were given (see `euclidfm demo --real`).")
    count = min(len(real.store), _MAX)
    galaxies = real.store.read(np.arange(count))
    known = np.empty(0, np.int64) if real.emb is None else real.emb.object_id
    rows = match_ids(galaxies.object_id, known)
    cards, found = [], []
    for i in range(count):
        object_id = int(galaxies.object_id[i])
        near, near_ids, similarity = _neighbours(data, int(rows[i]))
        shown = pictures(galaxies, i)
        names = [*galaxies.images, "colour"] if shown else []
        stamps = "".join(
            stamp(shown.get(n), f"real galaxy, {n}" if n in shown else f"no {n}", n) for n in names
        )
        where = f"{object_id} <small>RA {galaxies.ra[i]:.5f}°, Dec {galaxies.dec[i]:+.5f}°</small>"
        sed = _sed(galaxies, i, real.store.info.sed_bands)
        cards.append(
            f'<article class="real"><h3>{where}</h3>'
            f'<div class="bands">{stamps or stamp(None, "no image")}</div>'
            f'<div class="beside"><div class="figure">{sed}</div>{near}</div></article>'
        )
        found.append(
            {
                "object_id": object_id,
                "ra": galaxies.ra[i],
                "dec": galaxies.dec[i],
                "bands": [b for b in galaxies.images if galaxies.has_image(b)[i]],
                "flux_ujy": dict(zip(galaxies.sed_bands, galaxies.flux[i].tolist(), strict=True)),
                "fluxerr_ujy": dict(zip(galaxies.sed_bands, galaxies.fluxerr[i].tolist(), strict=True)),
                "neighbours": near_ids,
                "similarity": similarity,
            }
        )
    more = f" The first {count} of {len(real.store)} are shown." if len(real.store) > count else ""
    note = (
        f"{number(len(real.store))} real galaxies, processed by the ingest of the mocks.{more} "
        "SED: total flux against wavelength; triangles: 2σ upper limits. Right: the nearest mock galaxies "
        "by cosine similarity of the joint embeddings, if the model is that of the mocks. A low similarity "
        "then means that the mocks contain no similar galaxy."
    )
    return Section(key="real", title=_TITLE, html=caption(note) + "".join(cards), data={"galaxies": found})


def _neighbours(data: ReportData, row: int) -> tuple[str, list[int], list[float]]:
    """Cards of the nearest mock galaxies, their ids and similarities."""
    real, mock = data.real, data.mock
    if real.emb is not None and mock.emb is not None and real.emb.info["model"] != mock.emb.info["model"]:
        return '<p class="absent">Embedded by a model of its own: no mock neighbours.</p>', [], []
    if row < 0 or real.emb is None or mock.emb is None:
        return '<p class="absent">No embedding: no neighbours.</p>', [], []
    vector = real.emb.vectors[row]
    if not finite_rows(vector[None])[0]:
        return '<p class="absent">No embedding: no neighbours.</p>', [], []
    found = mock.index.search(vector=vector, k=_NEIGHBOURS)
    similarity = found["similarity"].to_numpy()
    cards = neighbour_cards(mock, None, found["row"].to_numpy(), similarity)
    html = (
        f'<div><p class="label">{escape("nearest mock galaxies")}</p><div class="strip">{cards}</div></div>'
    )
    return html, found["object_id"].to_pylist(), similarity.tolist()


def _sed(galaxies: Galaxies, row: int, bands: tuple[Band, ...]) -> str:
    """Flux against wavelength, with errors, on logarithmic axes; faint fluxes as upper limits."""
    wave = np.array([b.wavelength_nm for b in bands]) / 1000.0
    flux, error = galaxies.flux[row].astype(float), galaxies.fluxerr[row].astype(float)
    measured = np.isfinite(flux)
    if not measured.any():
        return '<p class="absent">No SED.</p>'
    error = np.where(np.isfinite(error) & (error > 0), error, 0.0)
    seen = measured & (flux > error) & (flux > 0)
    limit = measured & ~seen & (flux + 2 * error > 0)
    with figure(3.6, 2.3) as fig:
        axis = fig.subplots()
        lower = np.minimum(error[seen], 0.9 * flux[seen])
        axis.errorbar(
            wave[seen],
            flux[seen],
            yerr=[lower, error[seen]],
            fmt="o",
            color=COLOURS["blue"],
            markersize=4,
            capsize=2,
        )
        top = np.maximum(flux, 0)[limit] + 2 * error[limit]
        axis.plot(wave[limit], top, "v", color=COLOURS["vermilion"], markersize=5)
        axis.set_xscale("log")
        axis.set_yscale("log")
        shown = np.concatenate([flux[seen], top])
        axis.set_ylim(0.5 * shown.min(), 2.8 * shown.max())
        axis.set_xlim(0.8 * wave[measured].min(), 1.25 * wave[measured].max())
        ticks = [
            t
            for t in (0.2, 0.4, 0.6, 1.0, 1.5, 2.0, 4.0)
            if 0.8 * wave[measured].min() < t < 1.25 * wave.max()
        ]
        axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
        heights = [d * 10.0**e for e in range(-4, 6) for d in (1, 2, 5)]
        heights = [h for h in heights if axis.get_ylim()[0] < h < axis.get_ylim()[1]]
        heights = heights[:: max(1, len(heights) // 5)]
        axis.set_yticks(heights, [f"{h:g}" for h in heights])
        axis.minorticks_off()
        for b, w, f in zip(bands, wave, flux, strict=True):
            if np.isfinite(f) and f > 0:
                place = {
                    "xytext": (0, -13 if b.name == "VIS" else 7),
                    "textcoords": "offset points",
                    "ha": "center",
                }
                axis.annotate(b.name.split("_")[0], (w, f), fontsize=7, color=MUTED, **place)
        axis.set_xlabel("wavelength [µm]")
        axis.set_ylabel("flux [µJy]")
        return svg(fig, f"sed{row}", f"SED of {int(galaxies.object_id[row])}")
