"""Maps of the surprisal that the model of the run assigns to the patches of a galaxy."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.explore.galaxy import picture
from euclidfm.explore.run import RunData
from euclidfm.report.sheets.stamps import heat_map

__all__ = ["SurprisalMaps"]


class SurprisalMaps:
    """Surprisal maps of galaxies. The model of the run is loaded at first use."""

    def __init__(self, run: RunData) -> None:
        self.run = run
        self._model: Any = None
        self._lock = threading.Lock()
        self._maps: dict[int, Any] = {}

    def picture(self, row: int, modality: str) -> np.ndarray:
        """Draw the galaxy in a band of the modality, in red where the surprisal is large.

        Raises
        ------
        InputError
            If the run has no model with a likelihood.
        KeyError
            If the galaxy has no such image.
        """
        excess, crop, bands = self._excess(row, modality)
        galaxy = self.run.galaxy(row)
        assert galaxy is not None
        band = next(b for b in reversed(bands) if b in galaxy.images and galaxy.has_image(b)[0])
        shown = picture(self.run, row, band, 1.0, 3.0)
        margin = max(0, (shown.shape[0] - crop) // 2)
        shown = shown[margin : margin + crop, margin : margin + crop]
        return heat_map(shown, excess.ravel())

    def _excess(self, row: int, modality: str) -> tuple[np.ndarray, int, tuple[str, ...]]:
        galaxy, folder = self.run.galaxy(row), self.run.folder.model.path
        if self.run.likelihood_model() is None:
            msg = f"{folder} holds no model with a likelihood; pre-train with --model.objective likelihood"
            raise InputError(msg)
        if galaxy is None:
            raise KeyError(row)
        with self._lock:
            from euclidfm.embeddings import surprise_of
            from euclidfm.model import FoundationModel

            if self._model is None:
                self._model = FoundationModel.load(folder)
            if row not in self._maps:
                if len(self._maps) >= 256:
                    self._maps.clear()
                store = self.run.store
                assert store is not None
                waves = store.info.wavelengths_nm
                self._maps[row] = surprise_of(self._model, galaxy, draws=4, wavelengths_nm=waves)[0]
            bands = {m.name: m.bands for m in self._model.config.images}
            patches = self._maps[row].patches[modality]
            if not np.isfinite(patches).any():
                raise KeyError(modality)
            return patches, int(self._model.config.crop), bands[modality]

    def modalities(self) -> dict[str, list[str]]:
        """Return the bands of each image modality of the model; empty if it has no likelihood."""
        config = self.run.likelihood_model() or {}
        return {str(m["name"]): list(m["bands"]) for m in config.get("images", ())}
