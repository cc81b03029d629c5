"""Tasks that can be fitted: the objects behind ``euclidfm.tasks.photoz`` and its siblings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.tasks.fit import fit_probe
from euclidfm.tasks.probe import Probe
from euclidfm.tasks.task import Task

if TYPE_CHECKING:
    from euclidfm.tasks.density.probe import DensityProbe

__all__ = ["FittableTask"]


class FittableTask(Task):
    """A task with the functions that fit it."""

    @classmethod
    def of(cls, task: Task) -> FittableTask:
        """The same task, able to be fitted."""
        return cls(**vars(task))

    def fit(
        self,
        emb: EmbeddingTable,
        labels: Any,
        *,
        head: str = "linear",
        seed: int = 0,
        use: Sequence[str] = ("auto",),
    ) -> Probe:
        """Fit a probe to the labelled training galaxies; see `euclidfm.tasks.fit.fit_probe`."""
        return fit_probe(self, emb, labels, head=head, seed=seed, use=tuple(use))

    def fit_density(
        self, emb: EmbeddingTable, labels: Any, *, seed: int = 0, use: Sequence[str] = ("joint",)
    ) -> DensityProbe:
        """Fit a probability density of the label; see `euclidfm.tasks.density.fit.fit_density`."""
        from euclidfm.tasks.density.fit import fit_density  # needs torch

        return fit_density(emb, labels, task=self, seed=seed, use=tuple(use))
