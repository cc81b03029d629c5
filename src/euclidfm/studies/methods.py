"""Methods of the label-efficiency study: each learns from labelled galaxies and predicts others."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from euclidfm.core.bands import NISP_BANDS
from euclidfm.core.errors import InputError
from euclidfm.core.ids import match_ids
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.measure import Measurements, measure_store
from euclidfm.store import GalaxyStore
from euclidfm.tasks.baselines.cnn import CNNConfig, cnn
from euclidfm.tasks.baselines.images import load_images
from euclidfm.tasks.baselines.measured import MEASURED_METHODS
from euclidfm.tasks.baselines.pca import pixels_pca
from euclidfm.tasks.baselines.photometric import (
    booster,
    colours_ridge,
    knn_photometry,
    photometry_auto,
    photometry_features,
    photometry_probe,
    photometry_stack,
)
from euclidfm.tasks.baselines.resnet import ResNetConfig, resnet
from euclidfm.tasks.finetune.activations import ActivationCache
from euclidfm.tasks.finetune.config import FineTuneConfig, first_block
from euclidfm.tasks.finetune.train import fine_tune
from euclidfm.tasks.fusion.head import FittedFusion, fit_fusion
from euclidfm.tasks.fusion.taught import fit_taught
from euclidfm.tasks.heads.base import one_torch_thread
from euclidfm.tasks.heads.make import FUSION, fit_head
from euclidfm.tasks.heads.stack import stack
from euclidfm.tasks.spaces import blocks_of, choose_space, features_of, spaces_of, widths_of

__all__ = ["METHODS", "Methods"]

STACK, FUSED, TAUGHT = "probe-stack", "probe-fusion", "probe-taught"
PROBES = {"probe": "linear", "probe-auto": "auto", "probe-mlp": "mlp", "probe-knn": "knn"}
PROBES |= {STACK: "stack", FUSED: FUSION, TAUGHT: FUSION}
PHOTOMETRIC = {
    "booster": booster,
    "colours-ridge": colours_ridge,
    "knn-photometry": knn_photometry,
    "photometry-probe": photometry_probe,
    "photometry-auto": photometry_auto,
    "photometry-stack": photometry_stack,
}
CNNS = ("cnn", "cnn-max", "resnet")
PIXELS = (*CNNS, "pixels-pca")
TUNED: dict[str, Literal["full", "lora"]] = {"finetune": "full", "finetune-lora": "lora"}
TREES = ("booster", "apertures-booster", "morphology-booster")
SLOW = (
    *PIXELS,
    *TREES,
    *(PROBES.keys() - {"probe", "probe-knn"}),
    "photometry-auto",
    "photometry-stack",
    *TUNED,
)
"""Methods that take seconds to minutes per fit, for which fewer repeats can be set."""

SHORT = 16
"""Largest width of vectors that a stack adds to the photometry in all its members."""

METHODS = (*PROBES, *PIXELS, *MEASURED_METHODS, *PHOTOMETRIC, *TUNED)
"""Names of the methods."""


@dataclass
class Methods:
    """Methods bound to their data; rows are rows of the store.

    Attributes
    ----------
    store : GalaxyStore
    embs : dict of str to EmbeddingTable
        Embeddings by the name of their inputs.
    image_sets : dict of str to tuple of str
        Image bands of the methods on pixels and on measured numbers, by the name of their inputs.
    cnn : CNNConfig
    resnet : ResNetConfig
    run : str, optional
        Run folder of the model to be fine-tuned, the one that made the embeddings. The names of the inputs
        are then modalities of the model, joined by ``+``.
    finetune : FineTuneConfig
    """

    store: GalaxyStore
    embs: dict[str, EmbeddingTable]
    image_sets: dict[str, tuple[str, ...]]
    cnn: CNNConfig
    resnet: ResNetConfig
    run: str | None = None
    finetune: FineTuneConfig = field(default_factory=FineTuneConfig)
    _activations: dict[str, ActivationCache] = field(default_factory=dict)
    _vectors: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    _images: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    _measured: dict[str, Measurements] = field(default_factory=dict)
    _photometry: tuple[np.ndarray, np.ndarray] | None = None

    def inputs(self, method: str) -> list[str]:
        """Names of the inputs of a method; none if the store lacks them.

        ``METHOD@INPUTS`` selects one of them.
        """
        method, _, only = method.partition("@")
        if method == TAUGHT:
            possible = [i for i in self.embs if "SED" not in i] if self.store.info.sed_names else []
        elif method in PROBES:
            possible = list(self.embs)
        elif method in (*PIXELS, *MEASURED_METHODS):
            possible = list(self.image_sets)
        elif method in PHOTOMETRIC:
            possible = ["SED"] if self.store.info.sed_names else []
        elif method in TUNED:
            possible = list(self.embs) if self.run else []
        else:
            msg = f"there is no method {method!r}; choose among {', '.join(METHODS)}"
            raise InputError(msg)
        return [p for p in possible if only in ("", p)]

    def predict(
        self,
        method: str,
        inputs: str,
        train: np.ndarray,
        y: np.ndarray,
        test: np.ndarray,
        classes: int,
        seed: int,
    ) -> np.ndarray:
        """Predict the test rows.

        Parameters
        ----------
        method, inputs : str
        train, test : arrays of int
            Rows of the store.
        y : array
            Targets of the training rows on the learnt scale, or class numbers.
        classes : int
            0 for a regression.
        seed : int

        Returns
        -------
        array
            Values on the learnt scale, or (m, C) probabilities.
        """
        if method == STACK:
            return stack(*self._views(inputs, train, test), y, classes, seed)
        if method in (FUSED, TAUGHT):
            widths, X = self.blocks(inputs)
            if method == TAUGHT and not classes:
                return self._taught(inputs, train, y, seed).predict(X[test])
            return fit_fusion(widths, X[train], y, classes, seed).predict(X[test])
        if method in PROBES:
            spaces = self.spaces(inputs)
            vectors = spaces[choose_space({n: v[train] for n, v in spaces.items()}, y, seed)]
            return fit_head(PROBES[method], vectors[train], y, classes, seed).predict(vectors[test])
        if method in PHOTOMETRIC:
            flux, error = self.photometry()
            return PHOTOMETRIC[method](
                (flux[train], error[train]), y, (flux[test], error[test]), classes, seed
            )
        if method in MEASURED_METHODS:
            rows, measured = self.measured(inputs, np.concatenate([train, test]))
            at, to = np.searchsorted(rows, train), np.searchsorted(rows, test)
            return MEASURED_METHODS[method](measured, at, y, to, classes, seed)
        if method in TUNED:
            return self._tune(TUNED[method], inputs, train, y, test, classes, seed)
        self.load_images(inputs, np.concatenate([train, test]), self.normalise(method))
        rows, images = self._images[f"{inputs} {self.normalise(method)}"]
        a, b = images[np.searchsorted(rows, train)], images[np.searchsorted(rows, test)]
        if method == "pixels-pca":
            return pixels_pca(a, y, b, classes, seed)
        if method == "resnet":
            return resnet(self.resnet, a, y, b, classes, seed)
        return cnn(self.cnn, a, y, b, classes, seed)

    def _views(
        self, inputs: str, train: np.ndarray, test: np.ndarray
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Views of a stack for the training rows and for the test rows.

        The first view is the photometry with the short vectors of the embedding (at most `SHORT` numbers). If
        there are none, a second view adds the joint vectors. A second view beside short vectors did not help
        at 1% of the labels of zCOSMOS, as measured on galaxies held out of its training split.
        """
        spaces = self.spaces(inputs)
        short = [v for v in spaces.values() if v.shape[1] <= SHORT]
        a, b = [v[train] for v in short], [v[test] for v in short]
        if self.store.info.sed_names:
            flux, error = self.photometry()
            features = photometry_features((flux[train], error[train]), (flux[test], error[test]))
            a, b = [features[0], *a], [features[1], *b]
        views = [a], [b]
        if not short:
            joint = spaces["joint"]
            views = [a, [*a, joint[train]]], [b, [*b, joint[test]]]
        train_views, test_views = ([np.concatenate(v, axis=1) for v in side if v] for side in views)
        return train_views, test_views

    def _tune(
        self,
        adapt: Literal["full", "lora"],
        inputs: str,
        train: np.ndarray,
        y: np.ndarray,
        test: np.ndarray,
        classes: int,
        seed: int,
    ) -> np.ndarray:
        config = replace(self.finetune, adapt=adapt)
        if inputs not in self._activations:  # one set of inputs in memory at a time
            from euclidfm.model import FoundationModel

            model = FoundationModel.load(str(self.run))
            names = model.config.modalities if inputs == "embedding" else tuple(inputs.split("+"))
            start = first_block(model.config.layer, config.layers)
            self._activations = {inputs: ActivationCache(model, self.store, names, start)}
        cache = self._activations[inputs]
        with one_torch_thread():
            cache.prepare(np.concatenate([train, test]))
        out = fine_tune(config, cache, train, y, classes, seed).predict(cache, test)
        if not classes:
            return out[:, 0]
        odds = np.exp(out - out.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))

    def spaces(self, inputs: str) -> dict[str, np.ndarray]:
        """Vectors by name, (rows of the store, D): joint and of each modality; NaN for a galaxy without."""
        if inputs not in self._vectors:
            self._vectors[inputs] = {
                name: self._by_row(inputs, vectors) for name, vectors in spaces_of(self.embs[inputs]).items()
            }
        return self._vectors[inputs]

    def blocks(self, inputs: str) -> tuple[list[tuple[str, int]], np.ndarray]:
        """Names and widths of the blocks of a fusion, and their numbers, (rows of the store, k)."""
        emb = self.embs[inputs]
        names = blocks_of(emb)
        return widths_of(emb, names), self._by_row(inputs, features_of(emb, names))

    def _taught(self, inputs: str, train: np.ndarray, y: np.ndarray, seed: int) -> FittedFusion:
        """A fusion of images, taught by the photometry of the training galaxies that are not in `train`."""
        (blocks, X), flux = self.blocks(inputs), np.concatenate(self.photometry(), axis=1)
        more = np.setdiff1d(self.store.rows("train"), train)
        return fit_taught(blocks, X[train], flux[train], y, X[more], flux[more], seed)[0]

    def _by_row(self, inputs: str, vectors: np.ndarray) -> np.ndarray:
        """Vectors of an embedding table in the order of the store; NaN for a galaxy without."""
        rows = match_ids(self.store.column("object_id"), self.embs[inputs].object_id)
        return np.where(rows[:, None] >= 0, vectors[rows], np.float32(np.nan))

    def photometry(self) -> tuple[np.ndarray, np.ndarray]:
        """(rows of the store, K) fluxes and errors, µJy, in order of wavelength."""
        if self._photometry is None:
            self._photometry = self.store.photometry()
        return self._photometry

    def measured(self, inputs: str, rows: np.ndarray) -> tuple[np.ndarray, Measurements]:
        """Rows in increasing order, and the numbers measured on their images; measured once."""
        rows = np.unique(rows)
        ids, held = self.store.column("object_id")[rows], self._measured.get(inputs)
        if held is None or not np.isin(ids, held.object_id).all():
            held = self._measured[inputs] = measure_store(self.store, rows, self.image_sets[inputs])
        return rows, held.take(match_ids(ids, held.object_id))

    def normalise(self, method: str) -> str:
        """Scaling of a method's images; see `euclidfm.tasks.baselines.images.load_images`."""
        return "max" if method == "cnn-max" else self.cnn.normalise

    def load_images(self, inputs: str, rows: np.ndarray, normalise: str) -> None:
        """Read cutouts into memory (float16), unless an earlier call has."""
        rows, key = np.unique(rows), f"{inputs} {normalise}"
        held = self._images.get(key)
        if held is not None and np.isin(rows, held[0]).all():
            return
        bands = self.image_sets[inputs]
        images = load_images(self.store, rows, bands, size=self.cnn.size, normalise=normalise)
        self._images[key] = rows, images


def image_inputs(bands: tuple[str, ...]) -> str:
    """Name of a set of image bands: ``VIS+NISP`` for all four, else the names of the bands."""
    names = [b for b in bands if b not in NISP_BANDS]
    infrared = [b for b in bands if b in NISP_BANDS]
    return "+".join([*names, *(["NISP"] if len(infrared) == len(NISP_BANDS) else infrared)])


def image_bands(inputs: str) -> tuple[str, ...]:
    """Bands of a set of image inputs: the inverse of `image_inputs`."""
    return tuple(b for name in inputs.split("+") for b in (NISP_BANDS if name == "NISP" else (name,)))
