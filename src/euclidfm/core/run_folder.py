"""Where the products of a run lie: every path of its folder, written down once.

A run folder is what `euclidfm demo` and `euclidfm reproduce` make, and what `euclidfm report` and
`euclidfm explore` read. It holds the folder of a trained model and the folders of fitted probes.
None of the paths needs to exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["ModelFolder", "ProbeFolder", "RunFolder"]


@dataclass(frozen=True)
class ModelFolder:
    """What `euclidfm pretrain` writes."""

    path: Path

    @property
    def card(self) -> Path:
        """JSON with the model's config and identity."""
        return self.path / "model.json"

    @property
    def config(self) -> Path:
        """Resolved settings of the training."""
        return self.path / "config.yaml"

    @property
    def settings(self) -> Path:
        """The same as JSON, to compare the settings of a continued training."""
        return self.path / "config.json"

    @property
    def log(self) -> Path:
        """Losses by step."""
        return self.path / "log.csv"

    @property
    def summary(self) -> Path:
        """JSON with the number of parameters, galaxies and seconds of the training."""
        return self.path / "run.json"

    @property
    def checkpoints(self) -> Path:
        """Folder with the newest checkpoints, ``step-00000000`` and so on."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """Model folder of the lowest validation loss."""
        return self.path / "best"

    @property
    def samples(self) -> Path:
        """Folder with pictures that were drawn during the training."""
        return self.path / "samples"


@dataclass(frozen=True)
class ProbeFolder:
    """What `euclidfm probe` writes."""

    path: Path

    @property
    def card(self) -> Path:
        """JSON with the settings of the fitted head."""
        return self.path / "probe.json"

    @property
    def predictions(self) -> Path:
        """Parquet table with the predictions for every object."""
        return self.path / "predictions.parquet"

    @property
    def metrics(self) -> Path:
        """Metrics on the test split, as records."""
        return self.path / "metrics.json"

    @property
    def bins(self) -> Path:
        """Metrics in bins of magnitude, redshift and size, as records."""
        return self.path / "bins.json"

    @property
    def densities(self) -> Path:
        """Parquet table with p(z) of every object."""
        return self.path / "pz.parquet"

    @property
    def qp_densities(self) -> Path:
        """p(z) for `qp` and RAIL."""
        return self.path / "pz.hdf5"

    @property
    def density_metrics(self) -> Path:
        """Metrics of p(z), as records."""
        return self.path / "pz_metrics.json"


@dataclass(frozen=True)
class RunFolder:
    """Everything from a sky to a report."""

    path: Path

    @property
    def sky(self) -> Path:
        """Mosaics and catalogues, as `euclidfm simulate` writes them."""
        return self.path / "sky"

    @property
    def store(self) -> Path:
        """Store of the galaxies."""
        return self.path / "store"

    @property
    def model(self) -> ModelFolder:
        """The model and its training."""
        return ModelFolder(self.path / "run")

    @property
    def embeddings(self) -> Path:
        """Embeddings of all modalities."""
        return self.path / "embeddings.parquet"

    def embeddings_of(self, inputs: str) -> Path:
        """Embeddings of some modalities (``"VIS+NISP"``) in the folder of a demo."""
        return self.path / f"embeddings-{inputs}.parquet"

    def study_embeddings(self, inputs: str) -> Path:
        """Embeddings of some modalities, or of all, in the folder of a reproduction."""
        return self.path / "embeddings" / f"{inputs}.parquet"

    def separate(self, inputs: str) -> RunFolder:
        """Model that was trained on some modalities only, and its embeddings."""
        return RunFolder(self.path / "separate" / inputs)

    def other_sky(self, preset: str) -> RunFolder:
        """Another mock sky and its store."""
        return RunFolder(self.path / "skies" / preset)

    @property
    def real(self) -> RunFolder:
        """Store of real galaxies and their embeddings."""
        return RunFolder(self.path / "real")

    @property
    def science(self) -> Path:
        """Folder of the studies' records and the fitted probes."""
        return self.path / "science"

    def records(self, study: str) -> Path:
        """Records of a study (``"efficiency"``, ``"search"``, ``"outliers"``, ...)."""
        return self.science / f"{study}.json"

    def probe(self, task: str) -> ProbeFolder:
        """A fitted probe, its predictions and metrics."""
        return ProbeFolder(self.science / task)

    def probes(self) -> list[ProbeFolder]:
        """All fitted probes that have written predictions."""
        return [ProbeFolder(p.parent) for p in sorted(self.science.glob("*/predictions.parquet"))]

    @property
    def outliers(self) -> Path:
        """Parquet table of the outlier scores."""
        return self.path / "outliers.parquet"

    @property
    def claims(self) -> Path:
        """Verdicts of a reproduction."""
        return self.path / "claims.json"

    @property
    def report(self) -> Path:
        """The page with every table and figure."""
        return self.path / "report.html"

    @property
    def demo_state(self) -> Path:
        """Settings of a demo and seconds of its stages."""
        return self.path / "demo.json"

    @property
    def reproduce_state(self) -> Path:
        """Settings of a reproduction and seconds of its stages."""
        return self.path / "reproduce.json"

    @property
    def ratings(self) -> Path:
        """CSV with what a person finds interesting."""
        return self.path / "ratings.csv"

    @property
    def explore(self) -> Path:
        """Folder with the map and the last selection of `euclidfm explore`."""
        return self.path / "explore"

    @property
    def map(self) -> Path:
        """Parquet table with the two-dimensional map of the embeddings."""
        return self.explore / "map.parquet"
