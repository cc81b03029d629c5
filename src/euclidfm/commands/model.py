"""Commands about models: ``pretrain``, ``import-astropt``, ``embed``, ``generate``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

from euclidfm.core.files import record_run
from euclidfm.core.progress import bar
from euclidfm.embeddings.extract import embed as embed_store
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.generate.run import GenerateConfig, write
from euclidfm.interop.astropt.reader import import_astropt as read_astropt
from euclidfm.model.config import ModelConfig
from euclidfm.model.device import compile_blocks
from euclidfm.model.foundation import FoundationModel
from euclidfm.pretrain.config import PretrainConfig
from euclidfm.pretrain.presets import preset as preset_settings
from euclidfm.report.sheets.generated import generation_sheet
from euclidfm.store.reader import GalaxyStore
from euclidfm.workflow.steps import train

__all__ = ["embed", "generate", "import_astropt", "pretrain"]


def pretrain(
    store: Path, config: PretrainConfig | None = None, *, out: Path, preset: str | None = None
) -> FoundationModel:
    """Pre-train a foundation model by next-token prediction on a store.

    Input: a store. Output: a folder with model.json + model.safetensors, config.yaml, log.csv and
    checkpoints; the same command continues a training that was stopped. Several processes: torchrun.

    example: euclidfm pretrain store/ --out run/ --steps 2000 --model.width 192
    example: euclidfm pretrain store/ --out run/ --preset astropt-90m --model.crop 64

    Parameters
    ----------
    store : Path
        Store to train on (its training split).
    config : PretrainConfig, optional
        Default: the settings of `preset`, else those of `PretrainConfig`.
    out : Path
        Folder for the model; a training of the same settings that is there is continued.
    preset : str, optional
        Start from the settings of a named model (1m to 2b, astropt-5m, astropt-90m); other options and
        --config win over it. Called from Python with `config`, only the config counts.
    """
    if config is None:
        settings = {} if preset is None else preset_settings(preset)
        model_settings = asdict(ModelConfig()) | settings.get("model", {})
        config = PretrainConfig(**(settings | {"model": ModelConfig.from_dict(model_settings)}))
    model = train(config, store, out, pictures="pictures" in config.log_to)
    print(f"{out}: {model.parameter_count() / 1e6:.2f} M parameters, model {model.identity()}", flush=True)
    return model


def import_astropt(
    checkpoint: Path,
    *,
    out: Path,
    bands: dict[str, list[str]] | None = None,
    crop: int = 224,
    spiral: bool = True,
) -> FoundationModel:
    """Read a checkpoint of AstroPT (version 1 or 2) into a model folder.

    Input: a .pt file; nothing but tensors and plain values is unpickled from it. Output: model.json and
    model.safetensors, which `embed` reads like any other. The file does not say which bands its images have,
    how large they were, nor the order of the patches: give them where the defaults are not right.

    example: euclidfm import-astropt ckpt.pt --out run/ --bands '{images: [VIS, Y, J, H]}' --crop 224

    Parameters
    ----------
    checkpoint : Path
        The .pt file.
    out : Path
        Folder for the model.
    bands : dict of str to list of str, optional
        Bands of each image modality's channels.
    crop : int
        Side of the images in pixels.
    spiral : bool
        Patches in spiral order, else row by row.
    """
    bands = bands or {}
    settings = {"checkpoint": checkpoint, "out": out, "bands": bands, "crop": crop, "spiral": spiral}
    with record_run(out, "import-astropt", settings):
        model = read_astropt(checkpoint, bands, crop, spiral)
        model.save(out, {"imported_from": str(checkpoint)})
    count, names = model.parameter_count() / 1e6, ", ".join(model.config.modalities)
    print(f"{out}: {count:.2f} M parameters, modalities {names}, model {model.identity()}", flush=True)
    return model


def embed(
    run: Path,
    store: Path,
    *,
    out: Path,
    modalities: list[str] | None = None,
    split: str | None = None,
    layer: int | None = None,
    symmetries: int = 1,
    columns: list[str] | None = None,
    measured: bool = True,
    precision: Literal["fp32", "bf16", "auto"] = "fp32",
    compile: bool = False,
    append: bool = False,
) -> EmbeddingTable:
    """Compute an embedding of each galaxy of a store.

    Input: the folder of a model and any store (galaxies may lack any band, image or SED). Output: a Parquet
    table with object_id, ra, dec, split, vector (joint) and vector_<modality>.

    example: euclidfm embed run/ store/ --out embeddings.parquet
    example: euclidfm embed run/ store/ --out vis.parquet --modalities '[VIS]'

    Parameters
    ----------
    run : Path
        Folder of `euclidfm pretrain`.
    store : Path
        Store to embed.
    out : Path
        Parquet file for the embeddings.
    modalities : list of str, optional
        Only these; default all.
    split : str, optional
        Only train, validation or test.
    layer : int, optional
        Block to read; default the model's.
    symmetries : int
        Rotations and reflections (D4) to average over; with 8 the embedding does not depend on the
        orientation of a galaxy.
    columns : list of str, optional
        Columns of the store to copy; default the flags.
    measured : bool
        Add the space `measured`: aperture fluxes and shapes of the images (docs/measure.md). `probe` combines
        them with the vectors.
    precision : {"fp32", "bf16", "auto"}
        Precision of matrix products. bf16 and auto (bf16 where it is fast) are faster, but the estimates of
        redshifts and masses get worse.
    compile : bool
        Compile the blocks; worth it for many thousand galaxies.
    append : bool
        Add to the embeddings in --out; galaxies that are already there are replaced.
    """
    model, galaxies = FoundationModel.load(run), GalaxyStore.open(store)
    if compile:
        compile_blocks(model)
    with bar("embed") as progress:
        emb = embed_store(
            model,
            galaxies,
            modalities=modalities,
            split=split,
            layer=layer,
            symmetries=symmetries,
            columns=columns,
            measured=measured,
            precision=precision,
            progress=progress,
        )
    if append and out.exists():
        emb = EmbeddingTable.read(out).updated(emb)
    emb.write(out)
    print(f"{out}: {emb}", flush=True)
    return emb


def generate(
    run: Path, store: Path, config: GenerateConfig, *, out: Path, show: int = 8, overwrite: bool = False
) -> GalaxyStore:
    """Predict modalities of galaxies from others.

    Input: the folder of a model and any store. Output: a folder with a store of the generated images and
    fluxes (noise and errors are the model's own uncertainty), and sheet.png with given, measured and
    generated side by side.

    example: euclidfm generate run/ store/ --from vis --to nisp --out generated/
    example: euclidfm generate run/ store/ --from vis nisp --to sed --temperature 1 --seed 2 --out draws/
    example: euclidfm generate run/ store/ --from vis --to vis --hide_half true --out completed/

    Parameters
    ----------
    run : Path
        Folder of `euclidfm pretrain`.
    store : Path
        Store with the galaxies.
    config : GenerateConfig
    out : Path
        Folder for the store and the sheet.
    show : int
        Galaxies on the sheet.
    overwrite : bool
        Replace a store of an earlier call.
    """
    model, galaxies = FoundationModel.load(run), GalaxyStore.open(store)
    with bar("generate") as progress, record_run(out, "generate", config):
        made_store, (measured, given, made) = write(
            model, galaxies, config, out / "store", progress, show, overwrite
        )
        generation_sheet(given, measured, made, out / "sheet.png")
    print(f"{out}: {made_store}, sheet.png", flush=True)
    return made_store
