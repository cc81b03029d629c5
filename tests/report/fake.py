"""A made-up demo folder: a store of drawn galaxies, clustered embeddings, records of every kind."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from euclidfm.core.bands import EUCLID_BANDS, SED_BANDS, resolve_bands
from euclidfm.core.files import write_json
from euclidfm.discover import outlier_recall, outlier_scores, similarity_purity, simulate_user
from euclidfm.embeddings import EmbeddingTable
from euclidfm.store import Column, Galaxies, StoreInfo, StoreWriter

KINDS = (
    "elliptical",
    "spiral",
    "barred",
    "irregular",
    "edge_on",
    "star",
    "ring",
    "merger",
    "lens",
    "cosmic_ray",
)
SHARES = (0.25, 0.3, 0.1, 0.1, 0.07, 0.08, 0.03, 0.03, 0.02, 0.02)
SIGMA = {"VIS": 0.0021, "Y": 0.0105, "J": 0.009, "H": 0.0092}


def draw_galaxies(n: int, size: int = 40, seed: int = 0) -> Galaxies:
    """Galaxies whose shape follows their subtype and whose colour follows their redshift."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(KINDS, n, p=SHARES)
    z = np.where(np.isin(kind, ("star", "cosmic_ray")), np.nan, rng.gamma(3.0, 0.22, n))
    total = 10 ** rng.normal(0.5, 0.5, n)
    wave = np.array([b.wavelength_nm for b in resolve_bands(SED_BANDS)]) / 715.0
    flux = total[:, None] * wave ** (0.5 + 1.5 * np.nan_to_num(z))[:, None]
    error = 0.03 * flux + 0.05
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    images = {b: np.zeros((n, size, size), np.float32) for b in EUCLID_BANDS}
    masks = {b: np.zeros((n, size, size), bool) for b in EUCLID_BANDS}
    for i in range(n):
        shape = _shape(str(kind[i]), x, y, rng)
        for b in EUCLID_BANDS:
            image = flux[i, SED_BANDS.index(b)] * shape + rng.normal(0, SIGMA[b], shape.shape)
            images[b][i] = image if kind[i] != "cosmic_ray" or b == "VIS" else 0.0
        masks["H"][i, :6] = i % 7 == 0
    masks["Y"][::11] = True  # no Y image at all
    for b in EUCLID_BANDS:
        images[b][masks[b]] = 0.0
    return Galaxies(
        object_id=-570040238507752998 + np.arange(n) * 1000,
        ra=rng.uniform(57, 57.1, n),
        dec=rng.uniform(-50.1, -50, n),
        tile=np.full(n, 1),
        split=np.where(np.arange(n) % 3 == 0, "test", "train"),
        images=images,
        masks=masks,
        noise={b: np.full(n, SIGMA[b], np.float32) for b in EUCLID_BANDS},
        flux=np.where(rng.random(flux.shape) < 0.03, np.nan, flux + rng.normal(0, error)).astype(np.float32),
        fluxerr=error.astype(np.float32),
        sed_bands=SED_BANDS,
        columns={
            "z_spec": z,
            "log_mass": 9 + rng.random(n),
            "kind": np.where(kind == "star", "star", "galaxy"),
            "subtype": kind,
        },
    )


def _shape(kind: str, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    angle, width = rng.uniform(0, np.pi), rng.uniform(2.5, 5.0)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    q = {"edge_on": 0.15, "star": 1.0, "ring": 0.8, "lens": 0.9}.get(kind, rng.uniform(0.5, 1.0))
    r = np.hypot(u, v / q)
    profile = np.exp(-r / width)
    if kind == "star":
        profile = np.exp(-0.5 * (r / 0.9) ** 2)
    if kind == "spiral" or kind == "barred":
        profile = profile * (1 + 0.8 * np.cos(2 * np.arctan2(v / q, u) - r / 2.0))
    if kind == "ring":
        profile = np.exp(-0.5 * ((r - 8) / 1.3) ** 2) + 1.5 * np.exp(-r / 1.5)
    if kind == "merger":
        profile = profile + np.exp(-np.hypot(u - 8, v + 3) / 2.0) + 0.3 * np.exp(-np.hypot(u - 4, v - 6) / 4)
    if kind == "lens":
        profile = profile + 0.8 * np.exp(-0.5 * ((r - 10) / 1.0) ** 2) * (np.cos(np.arctan2(v, u)) > 0.3)
    if kind == "cosmic_ray":
        profile = np.exp(-0.5 * (v / 0.5) ** 2) * (np.abs(u) < 9)
    return profile / profile.sum()


def write_store(path: Path, galaxies: Galaxies, labels: bool = True) -> None:
    columns = (
        Column(name="z_spec"),
        Column(name="log_mass"),
        Column(name="kind", type="string", role="truth"),
        Column(name="subtype", type="string", role="truth"),
    )
    info = StoreInfo(
        image_bands=EUCLID_BANDS,
        image_size=galaxies.images["VIS"].shape[-1],
        sed_bands=tuple(resolve_bands(SED_BANDS)),
        columns=columns if labels else (),
        provenance={"source": "made up"},
    )
    with StoreWriter(path, info) as writer:
        writer.add(galaxies)


def embed(galaxies: Galaxies, width: int = 24, seed: int = 0) -> EmbeddingTable:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(0, 1, (len(KINDS), width))
    kind = np.array([KINDS.index(k) for k in galaxies.columns["subtype"]])
    z = np.nan_to_num(galaxies.columns["z_spec"])[:, None]
    vectors = centres[kind] + 0.6 * rng.normal(0, 1, (len(kind), width)) + z * np.linspace(-2, 2, width)
    return EmbeddingTable(
        object_id=galaxies.object_id,
        ra=galaxies.ra,
        dec=galaxies.dec,
        split=galaxies.split,
        vectors=vectors.astype(np.float32),
        info={"model": "fake", "pooling": "mean"},
    )


def efficiency_records(seeds: int = 3) -> list[dict]:
    rng = np.random.default_rng(5)
    methods = [
        ("probe", "VIS+NISP+SED", 0.9, "lin"),
        ("probe", "VIS+NISP", 1.6, "lin"),
        ("probe", "VIS", 2.2, "lin"),
        ("probe-mlp", "VIS+NISP+SED", 0.85, "lin"),
        ("cnn", "VIS+NISP", 2.0, "steep"),
        ("booster", "photometry", 0.95, "steep"),
        ("knn-photometry", "photometry", 1.2, "lin"),
    ]
    out = []
    for task, metric, base in (("photoz", "nmad", 0.05), ("mass", "nmad", 0.2), ("morphology", "auc", 0.1)):
        for method, inputs, factor, kind in methods:
            for fraction in (0.01, 0.05, 0.2, 1.0):
                for seed in range(seeds):
                    slope = 0.25 if kind == "steep" else 0.1
                    v = base * factor * fraction**-slope * (1 + 0.05 * rng.normal())
                    v = 1 - min(v, 0.5) if metric == "auc" else v
                    row = {"task": task, "method": method, "inputs": inputs, "fraction": fraction}
                    row |= {"n_train": round(2000 * fraction), "n_test": 500, "seed": seed}
                    out.append(row | {"metric": metric, "value": v, "low": v * 0.95, "high": v * 1.05})
                    other = "bias_median" if metric == "nmad" else "accuracy"
                    out.append(row | {"metric": other, "value": v / 7, "low": None, "high": None})
    return out


def make_folder(folder: Path, n: int = 600, size: int = 40) -> Path:
    """Everything a report may show, laid out as the demo leaves it."""
    galaxies = draw_galaxies(n, size)
    emb = embed(galaxies)
    (folder / "science" / "photoz").mkdir(parents=True)
    (folder / "run").mkdir()
    write_store(folder / "store", galaxies)
    emb.write(folder / "embeddings.parquet")
    kind = galaxies.columns["subtype"]
    scores = outlier_scores(emb)
    pq.write_table(scores, folder / "outliers.parquet")
    write_json(folder / "science" / "search.json", similarity_purity(emb, kind))
    rare = np.isin(kind, ("ring", "merger", "lens"))
    write_json(
        folder / "science" / "outliers.json", outlier_recall(scores, rare, kind="ring, merger or lens")
    )
    user = simulate_user(emb, scores, rare, looks=80)
    write_json(folder / "science" / "active.json", user | {"total": rare.sum()})
    write_json(folder / "science" / "efficiency.json", efficiency_records())
    star = {"task": "star", "fraction": 1.0, "n_train": 400, "n_test": 200, "seed": 0, "metric": "auc"}
    write_json(
        folder / "science" / "star.json",
        [
            star | {"method": "probe", "inputs": "VIS+NISP+SED", "value": 0.991, "low": 0.985, "high": 0.995},
            star | {"method": "booster", "inputs": "photometry", "value": 0.953, "low": 0.94, "high": 0.965},
        ],
    )
    rng = np.random.default_rng(3)
    z = galaxies.columns["z_spec"]
    z_phot = z + rng.normal(0, 0.04, n) * (1 + z) + (rng.random(n) < 0.05) * rng.normal(0, 0.6, n)
    table = pa.table({"object_id": galaxies.object_id, "z_phot": np.abs(z_phot)})
    pq.write_table(table, folder / "science" / "photoz" / "predictions.parquet")
    _write_run(folder / "run", rng)
    real = draw_galaxies(2, size, seed=42)
    real.masks["VIS"][1] = True
    write_store(folder / "real" / "store", real, labels=False)
    embed(real).write(folder / "real" / "embeddings.parquet")
    return folder


def _write_run(run: Path, rng: np.random.Generator) -> None:
    names = ("VIS", "NISP", "SED")
    fields = ["step", "galaxies", "seconds", "lr", "loss", "grad_norm", "val_loss"]
    fields += [f"loss_{m}" for m in names] + [f"val_{m}" for m in names]
    with (run / "log.csv").open("w", newline="") as f:
        writer = csv.DictWriter(f, fields)
        writer.writeheader()
        for step in range(10, 1001, 10):
            parts = {
                m: a * step**-0.4 + 0.1 * rng.normal() * a + a
                for m, a in zip(names, (0.5, 0.3, 0.2), strict=True)
            }
            row = {"step": step, "galaxies": 64 * step, "seconds": step / 5, "lr": 1e-3}
            row |= {f"loss_{m}": v for m, v in parts.items()} | {"loss": sum(parts.values())}
            if step % 100 == 0:
                row |= {f"val_{m}": v for m, v in parts.items()} | {"val_loss": sum(parts.values())}
            writer.writerow(row)
    (run / "run.json").write_text(
        json.dumps({"steps": 1000, "seconds": 200.5, "parameters": 1_234_567, "seed": 0})
    )
    (run / "config.yaml").write_text("steps: 1000\nbatch: 64\n")
