"""The quality of a store on one page: what is in it, how complete, how it looks."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from euclidfm.core.errors import InputError
from euclidfm.core.files import write_text
from euclidfm.core.units import abmag_from_ujy
from euclidfm.store.reader import GalaxyStore
from euclidfm.store.splits import SPLITS

__all__ = ["describe_store", "quality_report"]

_PERCENTILES = (5, 50, 95)


def describe_store(path: str | Path) -> dict[str, Any]:
    """Counts, completeness, noise and magnitudes of a store.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict
        ``rows``, ``splits``, ``release``, ``funnel`` (cut flow: steps and survivors), ``images`` (by band:
        share of galaxies with an image, unit, noise, 5 sigma surface brightness, sky over noise), ``sed`` (by
        band: share measured, AB magnitudes at 5, 50 and 95%, median signal to noise),
        ``columns`` (by name: role, share known), ``masked_fraction``, ``quarantine`` (reasons
        and counts) and the ``provenance``.
    """
    store = GalaxyStore.open(path)
    info, provenance = store.info, dict(store.info.provenance)
    splits = Counter(store.column("split").tolist())
    summary = provenance.get("summary", {})
    sed = {b.name: {"wavelength_nm": b.wavelength_nm} | _sed_numbers(store, b.name) for b in info.sed_bands}
    masked = store.column("flag_masked_fraction") if "flag_masked_fraction" in info.names() else None
    return {
        "path": str(path),
        "rows": len(store),
        "splits": {s: splits.get(s, 0) for s in SPLITS},
        "release": info.release,
        "image_size": info.image_size,
        "funnel": [(str(n), int(c)) for n, c in summary.get("funnel", [])],
        "images": {b: _image_numbers(store, b) for b in info.image_bands},
        "sed": sed,
        "columns": {c.name: {"role": c.role, "known": _known(store.column(c.name))} for c in info.columns},
        "masked_fraction": None if masked is None or not info.image_bands else float(np.mean(masked)),
        "quarantine": _quarantine(Path(path)),
        "provenance": provenance,
    }


def _image_numbers(store: GalaxyStore, b: str) -> dict[str, Any]:
    info = store.info
    noise = store.column(f"noise_{b}").astype(float)
    present = np.isfinite(store.column(f"scale_{b}"))
    sigma = _median(noise)
    ujy = sigma if b not in info.uncalibrated else float("nan")
    per_arcsec = ujy / info.pixel_arcsec
    limit = float(abmag_from_ujy(5 * per_arcsec)) if per_arcsec > 0 else float("nan")
    sky, subtracted = float("nan"), info.provenance.get("sky") == "subtract"
    if f"sky_{b}" in info.names():
        sky = _median(store.column(f"sky_{b}").astype(float) / noise)
    return {
        "present": float(present.mean()),
        "unit": "of the files" if b in info.uncalibrated else "µJy",
        "noise": sigma,
        "noise_ujy": ujy,
        "limit_5sigma_arcsec2": limit,
        "sky_in_noise": sky,
        "sky_subtracted": subtracted,
    }


def _median(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _sed_numbers(store: GalaxyStore, b: str) -> dict[str, Any]:
    flux, error = (store.column(f"{n}_{b}").astype(float) for n in ("flux", "fluxerr"))
    mag = abmag_from_ujy(flux)
    known = mag[np.isfinite(mag)]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = flux / error
    ratio = ratio[np.isfinite(ratio)]
    return {
        "measured": float(np.isfinite(flux).mean()),
        "negative": float((flux < 0).mean()),
        "mag": [float(v) for v in np.percentile(known, _PERCENTILES)] if len(known) else [float("nan")] * 3,
        "signal_to_noise": float(np.median(ratio)) if len(ratio) else float("nan"),
    }


def _known(values: np.ndarray) -> float:
    if values.dtype.kind == "f":
        return float(np.isfinite(values).mean())
    if values.dtype.kind == "O":
        return float(np.mean([v not in ("", None) for v in values]))
    return 1.0


def _quarantine(path: Path) -> dict[str, int]:
    file = path / "quarantine.parquet"
    if not file.is_file():
        return {}
    reasons = pq.read_table(file, columns=["reason"]).column("reason").to_pylist()
    return dict(Counter(str(r) for r in reasons).most_common())


def quality_report(store_path: str | Path, out_html: str | Path, name: str = "") -> dict[str, Any]:
    """Write a self-contained HTML page about a store.

    Parameters
    ----------
    store_path : path
    out_html : path
    name : str
        Title; default the store's name.

    Returns
    -------
    dict
        The numbers, as of `describe_store`.
    """
    from euclidfm.ingest.quality.figures import figures

    if Path(out_html).suffix != ".html":
        msg = f"{out_html} must end in .html"
        raise InputError(msg)
    numbers = describe_store(store_path)
    title = f"Quality of store {name or Path(store_path).name}"
    parts = [f"<h1>{html.escape(title)}</h1>", _headline(numbers)]
    for heading, caption, image in figures(GalaxyStore.open(store_path)):
        parts.append(
            f'<h2>{html.escape(heading)}</h2><p class="note">{html.escape(caption)}</p>'
            f'<img alt="{html.escape(heading)}" src="data:image/png;base64,{image}">'
        )
        if heading == "Sky":
            parts += [_cut_flow(numbers), _bands(numbers)]
    parts += [_quarantine_table(numbers), _columns_table(numbers)]
    page = _PAGE.replace("{title}", html.escape(title)).replace("{body}", "\n".join(p for p in parts if p))
    write_text(out_html, page)
    return numbers


def _headline(n: dict[str, Any]) -> str:
    shares = ", ".join(f"{c} {s}" for s, c in n["splits"].items())
    left = sum(n["quarantine"].values())
    images = f"{len(n['images'])} image bands at {n['image_size']} px" if n["images"] else "no images"
    masked = "" if n["masked_fraction"] is None else f", {n['masked_fraction']:.2%} of pixels masked"
    source = (
        n["provenance"].get("selection") or n["provenance"].get("recipe") or n["provenance"].get("kind", "")
    )
    return (
        f'<p class="lead"><b>{n["rows"]}</b> galaxies ({shares}); {images}{masked}; '
        f"{len(n['sed'])} SED bands; release {html.escape(n['release'] or 'unnamed')}; "
        f"{html.escape(str(source))}; <b>{left}</b> in quarantine.</p>"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{html.escape(h)}</th>" for h in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in r) + "</tr>" for r in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _cut_flow(n: dict[str, Any]) -> str:
    if not n["funnel"]:
        return ""
    first = max(n["funnel"][0][1], 1)
    rows = []
    for step, count in n["funnel"]:
        width = 100 * count / first
        rows.append(
            f"<tr><td>{html.escape(step)}</td><td>{count}</td><td>{count / first:.1%}</td>"
            f'<td class="wide"><div class="bar" style="width:{width:.1f}%"></div></td></tr>'
        )
    return "<h2>Selection funnel</h2><table><tbody>" + "".join(rows) + "</tbody></table>"


def _number(value: float, form: str) -> str:
    return "-" if not np.isfinite(value) else format(value, form)


_IMAGE_NUMBERS = (("noise", ".4f"), ("limit_5sigma_arcsec2", ".2f"), ("sky_in_noise", ".2f"))


def _bands(n: dict[str, Any]) -> str:
    images = [
        [b, f"{v['present']:.1%}", v["unit"], *(_number(v[k], f) for k, f in _IMAGE_NUMBERS)]
        for b, v in n["images"].items()
    ]
    sky = (
        "sky / noise, subtracted" if any(v["sky_subtracted"] for v in n["images"].values()) else "sky / noise"
    )
    head = ("band", "galaxies with an image", "unit", "noise per pixel", "5σ in 1 arcsec², AB", sky)
    out = "<h2>Images</h2>" + _table(head, images) if images else ""
    sed = [
        (
            b,
            f"{v['wavelength_nm']:.0f}",
            f"{v['measured']:.1%}",
            f"{v['negative']:.1%}",
            " / ".join(_number(m, ".2f") for m in v["mag"]),
            _number(v["signal_to_noise"], ".1f"),
        )
        for b, v in n["sed"].items()
    ]
    head_sed = ("band", "nm", "measured", "negative", "AB magnitude, 5 / 50 / 95%", "median S/N")
    return out + "<h2>SED</h2>" + _table(head_sed, sed)


def _quarantine_table(n: dict[str, Any]) -> str:
    if not n["quarantine"]:
        return "<h2>Quarantine</h2><p>Nothing was left out.</p>"
    rows = [(r, str(c)) for r, c in list(n["quarantine"].items())[:30]]
    return "<h2>Quarantine</h2>" + _table(("reason", "objects or files"), rows)


def _columns_table(n: dict[str, Any]) -> str:
    rows = [(c, v["role"], f"{v['known']:.1%}") for c, v in n["columns"].items()]
    return "<h2>Labels, flags and metadata</h2>" + _table(("column", "role", "known"), rows) if rows else ""


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
body{font:15px/1.5 system-ui,sans-serif;color:#1b2430;max-width:1060px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin-bottom:.3rem}h2{font-size:1.1rem;margin:2rem 0 .4rem}
.lead{font-size:1.02rem}.note{color:#5a6675;margin:.1rem 0 .5rem}
img{max-width:100%;height:auto;display:block}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;width:100%}
th,td{text-align:left;padding:.22rem .7rem .22rem 0;border-bottom:1px solid #e3e8ee;vertical-align:middle}
th{color:#5a6675;font-weight:600}.wide{width:40%}
.bar{background:#3b6fb6;height:.8rem;border-radius:2px}
</style></head><body>
{body}
</body></html>
"""
