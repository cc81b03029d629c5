"""Folders of pictures and arrays with a table, as people have them."""

from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from euclidfm.ingest import IngestConfig, ingest
from euclidfm.store import GalaxyStore

SIDE = 40
CUTOUTS = {
    "files": "images/{name}.png",
    "bands": [{"name": "red", "wavelength_nm": 750}, {"name": "green"}, {"name": "blue"}],
    "unit": "uncalibrated",
    "pixel_arcsec": "unknown",
}


def galaxy(seed: int, shape=(SIDE, SIDE, 3)) -> np.ndarray:
    """A picture of a blob off the centre, 8 bits."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    blob = 180 * np.exp(-((x - shape[1] / 2) ** 2 + (y - shape[0] / 3) ** 2) / 30)
    scale = np.linspace(1.0, 0.4, shape[2] if len(shape) == 3 else 1)
    image = blob[..., None] * scale + rng.normal(12, 3, (*shape[:2], len(scale)))
    return np.clip(np.round(image), 0, 255).astype(np.uint8).reshape(shape)


def folder_of_pictures(root: Path, n: int = 12, suffix: str = "png") -> Path:
    """``images/g<k>.png`` and ``labels.csv``."""
    (root / "images").mkdir(parents=True)
    for k in range(n):
        Image.fromarray(galaxy(k)).save(root / "images" / f"g{k}.{suffix}")
    rows = [f"g{k},{'spiral' if k % 2 else 'smooth'},{k / 10}" for k in range(n)]
    (root / "labels.csv").write_text("\n".join(["name,class,score", *rows]) + "\n")
    return root


def write_recipe(root: Path, cutouts=None, **changes) -> str:
    """A recipe beside the data; returns its path."""
    recipe = {
        "name": "own",
        "version": 1,
        "files": [{"pattern": "labels.csv"}],
        "id": "name",
        "id_text": True,
        "columns": [
            {"name": "class", "column": "class", "type": "string"},
            {"name": "score", "column": "score"},
            {"name": "file", "column": "name", "type": "string", "role": "meta"},
        ],
        "cutouts": {k: v for k, v in (CUTOUTS | (cutouts or {})).items() if v is not None},
    } | changes
    path = root / "recipe.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in recipe.items() if v is not None}))
    return str(path)


def made(root: Path, recipe: str, **settings) -> GalaxyStore:
    """The store of a folder."""
    out = root.parent / f"{root.name}-store"
    ingest(IngestConfig(source=str(root), recipe=recipe, **settings), out, overwrite=True)
    return GalaxyStore.open(out)
