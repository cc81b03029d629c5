"""Small models, and small stores made of blobs, with and without images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from euclidfm.core.bands import SED_BANDS, resolve_bands
from euclidfm.model import FoundationModel, ImageModality, ModelConfig, build
from euclidfm.store import Column, Galaxies, GalaxyStore, StoreInfo, StoreWriter

VIS = ImageModality(name="VIS", bands=("VIS",), patch=4)
NISP = ImageModality(name="NISP", bands=("Y", "J", "H"), patch=8)
COARSE_VIS = replace(VIS, patch=8)
SMALL = ModelConfig(images=(VIS, NISP), crop=16, width=32, depth=2, heads=4)
"""A model of two image modalities and SEDs for stores of blobs, its scaling not fitted."""


def tiny_run(vis_patch: int = 8) -> list[str]:
    """Options of `euclidfm pretrain` for a model of VIS and SEDs in four steps."""
    images = json.dumps([{"name": "VIS", "bands": ["VIS"], "patch": vis_patch}])
    sizes = ["--model.crop=16", "--model.width=32", "--model.depth=2", "--model.heads=4"]
    return ["--steps=4", "--batch=16", *sizes, f"--model.images={images}"]


def draw_weights(module: torch.nn.Module, std: float) -> None:
    """Normal weights, larger than those of a new model, so that leaks and lost inputs show."""
    for p in module.parameters():
        torch.nn.init.normal_(p, std=std)


def lively(config: ModelConfig, std: float = 0.2) -> FoundationModel:
    """A model of the config with seeded weights of the given standard deviation, for evaluation."""
    torch.manual_seed(0)
    model = build(config)
    draw_weights(model, std)
    return model.eval()


def blobs(n: int, size: int = 16, seed: int = 0, bands: tuple[str, ...] = ("VIS", "Y", "J", "H")) -> Galaxies:
    """Galaxies that are round blobs whose colour and size follow a redshift."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(0.05, 1.5, n)
    total = 10 ** rng.uniform(-0.5, 1.5, n)
    slope = 1.0 + 1.5 * z
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    width = (1.2 + 1.5 / (1 + z))[:, None, None]
    profile = np.exp(-0.5 * (x**2 + y**2) / width**2) / (2 * np.pi * width**2)
    waves = np.array([b.wavelength_nm for b in resolve_bands(SED_BANDS)]) / 1000.0
    flux = total[:, None] * waves ** slope[:, None]
    error = 0.02 * flux + 0.02
    images, masks, noise = {}, {}, {}
    for b in bands:
        true = flux[:, SED_BANDS.index(b)][:, None, None] * profile
        images[b] = (true + rng.normal(0, 0.003, true.shape)).astype(np.float32)
        masks[b] = np.zeros(true.shape, bool)
        noise[b] = np.full(n, 0.003, np.float32)
    return Galaxies(
        object_id=np.arange(n) - 570040238507752998,
        ra=rng.uniform(60, 62, n),
        dec=rng.uniform(-50, -48, n),
        tile=np.full(n, -1),
        split=rng.choice(["train", "validation", "test"], n, p=[0.7, 0.1, 0.2]),
        images=images,
        masks=masks,
        noise=noise,
        flux=(flux + rng.normal(0, 1, flux.shape) * error).astype(np.float32),
        fluxerr=error.astype(np.float32),
        sed_bands=SED_BANDS,
        columns={"z_spec": z},
    )


def write_store(path: Path, galaxies: Galaxies) -> GalaxyStore:
    bands = tuple(galaxies.images)
    info = StoreInfo(
        image_bands=bands,
        image_size=galaxies.images[bands[0]].shape[-1] if bands else 0,
        sed_bands=tuple(resolve_bands(galaxies.sed_bands)),
        columns=(Column(name="z_spec", description="redshift"),),
        release="test",
    )
    with StoreWriter(path, info) as writer:
        writer.add(galaxies)
    return GalaxyStore.open(path)


def surprisal(model, tokens, **how):
    """-ln p of each token, summed over its values, in nats; NaN where a token is absent or not predicted."""
    with torch.no_grad():
        targets = model.loss_targets(tokens, **how)
        found = model.objective.distributions(model(tokens, **how), tokens)
    out = {}
    for m, d in found.items():
        here = targets[m].weight > 0
        nats = -(d.log_density(tokens[m].target) * here).sum(-1)
        out[m] = torch.where(here.any(-1) & tokens[m].valid, nats, torch.nan)
    return out
