"""Text that describes any file or folder that this program made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from euclidfm.core.errors import InputError
from euclidfm.core.files import read_json
from euclidfm.core.run_folder import ModelFolder, ProbeFolder, RunFolder
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.store.reader import GalaxyStore

__all__ = ["describe"]


def describe(path: Path) -> str:
    """Describe a file or a folder: what it is and what is in it.

    Parameters
    ----------
    path : Path
        A sky, a store, a model, a probe, a run, a Parquet table or a JSON file.

    Returns
    -------
    str
        Several lines.

    Raises
    ------
    InputError
        If it does not exist or is not a product of this program.
    """
    if not path.exists():
        msg = f"{path} does not exist"
        raise InputError(msg)
    kinds = (
        (path / "store.json", _store),
        (RunFolder(path).demo_state, _demo),
        (ModelFolder(path).card, _model),
        (ModelFolder(path).checkpoints, _unfinished_training),
        (ProbeFolder(path).card, _probe),
        (path / "MER", _sky),
    )
    for marker, text_of in kinds:
        if marker.exists():
            return text_of(path)
    if path.suffix == ".parquet":
        return _parquet(path)
    if path.suffix == ".json":
        return f"{path}: JSON with {', '.join(_keys(read_json(path)))}"
    msg = f"{path} is not a product of euclidfm: not a sky, store, run, probe, table or report"
    raise InputError(msg)


def _keys(value: Any) -> list[str]:
    return list(value) if isinstance(value, dict) else [f"{len(value)} records"]


def _store(path: Path) -> str:
    store = GalaxyStore.open(path)
    info = store.info
    splits = Counter(store.column("split").tolist())
    lines = [f"{path}: store of {len(store)} galaxies, release {info.release or 'unnamed'}"]
    lines.append("  splits: " + ", ".join(f"{k} {v}" for k, v in sorted(splits.items())))
    lines += _origin(path, info.provenance)
    if info.image_bands:
        scale = f'{info.pixel_arcsec}"/px' if np.isfinite(info.pixel_arcsec) else "an unknown pixel scale"
        lines.append(f"  images: {info.image_size} px at {scale}")
    for b in info.image_bands:
        noise = store.column(f"noise_{b}").astype(float)
        here, known = np.isfinite(store.column(f"scale_{b}")), np.isfinite(noise)
        median = np.median(noise[known]) if known.any() else np.nan
        unit = "per pixel, uncalibrated" if b in info.uncalibrated else "µJy per pixel"
        lines.append(f"    {b:<12}{here.mean():6.1%} of galaxies, noise {median:.4f} {unit}")
    for band in info.sed_bands:
        flux = store.column(f"flux_{band.name}").astype(float)
        have = np.isfinite(flux)
        median = np.median(flux[have]) if have.any() else np.nan
        name = f"{band.name:<12}{band.wavelength_nm:7.0f} nm"
        lines.append(f"  SED {name}  {have.mean():6.1%} measured, median {median:.3g} µJy")
    for c in info.columns:
        values = store.column(c.name)
        known = int(np.isfinite(values).sum()) if values.dtype.kind == "f" else len(values)
        lines.append(f"  {c.role:<6}{c.name:<24}{known:>8} known  {c.unit:<8} {c.description}")
    return "\n".join(lines)


def _origin(path: Path, provenance: Mapping[str, Any]) -> list[str]:
    """Source of a store, galaxies left after each step of the selection, and reasons of the quarantine."""
    lines = []
    if provenance.get("source"):
        what = provenance.get("selection") or provenance.get("recipe") or provenance.get("kind", "")
        lines.append(f"  from {provenance['source']}, {what}".rstrip(", "))
    summary = provenance.get("summary", {})
    lines += [f"    {int(left):>9}  {step}" for step, left in summary.get("funnel", [])]
    if (path / "quarantine.parquet").is_file():
        reasons = Counter(pq.read_table(path / "quarantine.parquet").column("reason").to_pylist())
        lines.append(f"  quarantine: {sum(reasons.values())}")
        lines += [f"    {count:>9}  {reason}" for reason, count in reasons.most_common(5)]
    return lines


def _model(path: Path) -> str:
    card = read_json(ModelFolder(path).card)
    config = card["config"]
    lines = [
        f"{path}: model {card['identity']}, trained {card.get('steps', '?')} steps on {card.get('store')}"
    ]
    for m in config["images"]:
        lines.append(f"  {m['name']}: {'+'.join(m['bands'])} in patches of {m['patch']} px")
    if config["sed"]:
        lines.append(f"  SED: {', '.join(config['sed_softening_ujy'])}")
    lines.append(f"  width {config['width']}, {config['depth']} blocks, {config['heads']} heads")
    if ModelFolder(path).summary.exists():
        run = read_json(ModelFolder(path).summary)
        size = f"{run['parameters'] / 1e6:.2f} M parameters"
        lines.append(f"  {size}, {run['galaxies']} galaxies in {run['seconds']:.0f} s")
    return "\n".join(lines)


def _unfinished_training(path: Path) -> str:
    steps = sorted(p.name for p in ModelFolder(path).checkpoints.glob("step-*"))
    last = steps[-1] if steps else "no checkpoint yet"
    return f"{path}: unfinished training, {last}; the same `euclidfm pretrain` command continues it"


def _probe(path: Path) -> str:
    card = read_json(ProbeFolder(path).card)
    return f"{path}: probe\n" + "\n".join(
        f"  {k}: {v}" for k, v in card.items() if not isinstance(v, dict | list)
    )


def _sky(path: Path) -> str:
    tiles = sorted(p.name for p in (path / "MER").iterdir() if p.is_dir())
    mosaics = list((path / "MER").rglob("*BGSUB-MOSAIC*.fits"))
    size = sum(p.stat().st_size for p in mosaics) / 1e6
    listed = ", ".join(tiles[:4]) + (", ..." if len(tiles) > 4 else "")
    return f"{path}: sky files, {len(tiles)} tiles ({listed}), {len(mosaics)} mosaics, {size:.0f} MB"


def _demo(path: Path) -> str:
    run = RunFolder(path)
    card = read_json(run.demo_state)
    lines = [f"{path}: demo, seed {card['config']['seed']}"]
    lines += [f"  {stage:<12}{seconds:8.1f} s" for stage, seconds in card["timings"].items()]
    lines += [describe(part) for part in (run.store, run.model.path) if part.exists()]
    return "\n".join(lines)


def _parquet(path: Path) -> str:
    schema = pq.read_schema(path)
    rows = pq.read_metadata(path).num_rows
    if "vector" in schema.names:
        emb = EmbeddingTable.read(path)
        facts = "\n".join(f"  {k}: {v}" for k, v in emb.info.items())
        return f"{path}: embeddings of {len(emb)} galaxies, {emb.vectors.shape[1]} numbers each\n{facts}"
    return f"{path}: table of {rows} rows\n" + "\n".join(f"  {f.name}: {f.type}" for f in schema)
