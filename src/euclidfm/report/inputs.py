"""Inputs of a report: files, each optional, and their contents."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from euclidfm.core.errors import InputError
from euclidfm.core.files import read_json, versions
from euclidfm.core.ids import match_ids
from euclidfm.core.run_folder import ModelFolder, RunFolder
from euclidfm.discover import SimilarityIndex
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.store import GalaxyStore

__all__ = ["ReportData", "ReportInputs", "Sample"]


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """Files and facts of a report. The page names each input that is None or does not exist."""

    title: str = "euclidfm report"
    store: str | Path | None = None
    """Store of the galaxies."""
    embeddings: str | Path | None = None
    """Embeddings of galaxies of that store."""
    run: str | Path | None = None
    """Run folder of the pre-training: ``log.csv``, ``run.json``, ``config.yaml``."""
    efficiency: str | Path | None = None
    """Long-form records of the probes and baselines at several label fractions."""
    predictions: str | Path | None = None
    """Photometric redshifts: Parquet with ``object_id`` and ``z_phot``."""
    star: str | Path | None = None
    """Records of the star classifier."""
    search: str | Path | None = None
    """Records of `euclidfm.discover.similarity_purity`."""
    rarities: str | Path | None = None
    """Records of `euclidfm.discover.outlier_recall`."""
    outliers: str | Path | None = None
    """Table of `euclidfm.discover.outlier_scores` (or `screened`)."""
    active: str | Path | None = None
    """Result of `euclidfm.discover.simulate_user`, as JSON."""
    claims: str | Path | None = None
    """Verdicts of a reproduction (`euclidfm.workflow.claims`)."""
    modality: str | Path | None = None
    """Records of the modality study, with ``model``."""
    densities: str | Path | None = None
    """Metrics of redshift densities."""
    transfer: str | Path | None = None
    """Records of the generalisation study, with ``target``."""
    real_seds: str | Path | None = None
    """Records of the study of real spectroscopic catalogues, with ``catalogue``."""
    real_store: str | Path | None = None
    """Store of real galaxies."""
    real_embeddings: str | Path | None = None
    """Embeddings of the real galaxies by the same model."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds of each stage."""
    seed: int = 0
    versions: Mapping[str, str] = field(default_factory=versions)
    surprise: Mapping[int, np.ndarray] = field(default_factory=dict)
    """By object_id: surprisal of each VIS token, (T,), drawn as a heat map."""

    @classmethod
    def of_folder(cls, folder: str | Path, **more: Any) -> ReportInputs:
        """Inputs from a folder of `euclidfm demo` or `euclidfm reproduce`; what is missing there stays None.

        Parameters
        ----------
        folder : path
        **more
            Fields to set besides or instead (title, timings, seed, ...).
        """
        run = RunFolder(Path(folder))
        paths = {
            "store": run.store,
            "embeddings": run.embeddings,
            "run": run.model.path,
            "efficiency": run.records("efficiency"),
            "predictions": run.probe("photoz").predictions,
            "star": run.records("star"),
            "search": run.records("search"),
            "rarities": run.records("outliers"),
            "active": run.records("active"),
            "claims": run.claims,
            "modality": run.records("modality"),
            "densities": run.probe("photoz").density_metrics,
            "transfer": run.records("transfer"),
            "real_seds": run.records("real"),
            "outliers": run.outliers,
            "real_store": run.real.store,
            "real_embeddings": run.real.embeddings,
        }
        found: dict[str, Any] = {name: path if path.exists() else None for name, path in paths.items()}
        maps = run.records("surprise")
        if maps.exists():
            found["surprise"] = {int(i): np.array(v, float) for i, v in read_json(maps).items()}
        return cls(**(found | more))


class Sample:
    """A store, its embeddings, and the two joined.

    Parameters
    ----------
    store, embeddings : path or None
    """

    def __init__(self, store: str | Path | None, embeddings: str | Path | None) -> None:
        self.store = GalaxyStore.open(store) if store is not None and Path(store).exists() else None
        here = embeddings is not None and Path(embeddings).exists()
        self.emb = EmbeddingTable.read(embeddings) if here and embeddings is not None else None

    @cached_property
    def index(self) -> SimilarityIndex:
        """Similarity among the embedded galaxies."""
        if self.emb is None:
            msg = "there are no embeddings"
            raise InputError(msg)
        return SimilarityIndex(self.emb)

    def label(self, *names: str) -> tuple[str, np.ndarray | None]:
        """The first of the named store columns that is there, for each embedded galaxy."""
        if self.store is None or self.emb is None:
            return "", None
        for name in names:
            if name in self.store.index.column_names:
                return name, self.emb.column_of(self.store.index.select(["object_id", name]), name)
        return "", None

    @cached_property
    def kinds(self) -> np.ndarray:
        """(N,) str: subtype (or kind) of each embedded galaxy, empty where not known."""
        _, values = self.label("subtype", "kind")
        count = 0 if self.emb is None else len(self.emb)
        if values is None:
            return np.full(count, "", dtype=object)
        return np.array(["" if v is None else str(v) for v in values], dtype=object)

    @cached_property
    def store_rows(self) -> np.ndarray:
        """(N,) row in the store of each embedded galaxy; -1 if it is not there."""
        if self.store is None or self.emb is None:
            return np.full(0 if self.emb is None else len(self.emb), -1)
        return match_ids(self.emb.object_id, self.store.column("object_id"))


class ReportData:
    """The inputs, opened at first use."""

    def __init__(self, inputs: ReportInputs) -> None:
        self.inputs = inputs

    @cached_property
    def mock(self) -> Sample:
        """The galaxies that the report is about."""
        return Sample(self.inputs.store, self.inputs.embeddings)

    @cached_property
    def real(self) -> Sample:
        """The real galaxies, if any."""
        return Sample(self.inputs.real_store, self.inputs.real_embeddings)

    def records(self, path: str | Path | None) -> list[dict[str, Any]]:
        """Long-form records of a JSON file; an empty list if there is no file."""
        if path is None or not Path(path).exists():
            return []
        found = read_json(path)
        good = isinstance(found, list) and all(isinstance(r, dict) and "metric" in r for r in found)
        if not good:
            msg = f"{path} does not hold records with a task, a metric and a value"
            raise InputError(msg)
        return list(found)

    def parquet(self, path: str | Path | None, columns: tuple[str, ...]) -> pa.Table | None:
        """A Parquet table that has the named columns; None if there is no file."""
        if path is None or not Path(path).exists():
            return None
        try:
            found = pq.read_table(path, page_checksum_verification=True)
        except (pa.ArrowInvalid, OSError) as e:
            msg = f"{path} is not a readable Parquet file ({e})"
            raise InputError(msg) from None
        for name in columns:
            if name not in found.column_names:
                msg = f"{path} has no column {name!r}; it has {', '.join(found.column_names)}"
                raise InputError(msg)
        return found

    @cached_property
    def log(self) -> dict[str, np.ndarray]:
        """Columns of the training log; NaN where a cell is empty."""
        path = None if self.inputs.run is None else ModelFolder(Path(self.inputs.run)).log
        if path is None or not path.exists():
            return {}
        with path.open(newline="", encoding="utf-8") as f:
            rows = list(csv.DictReader(f))
        try:
            return {k: np.array([float(r[k] or "nan") for r in rows]) for k in (rows[0] if rows else ())}
        except (TypeError, ValueError):
            msg = f"{path} holds a cell that is not a number; it may be truncated"
            raise InputError(msg) from None

    @cached_property
    def run(self) -> dict[str, Any]:
        """Facts of the pre-training run (``run.json``)."""
        path = None if self.inputs.run is None else ModelFolder(Path(self.inputs.run)).summary
        return dict(read_json(path)) if path is not None and path.exists() else {}
