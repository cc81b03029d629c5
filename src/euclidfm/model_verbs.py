"""Verbs of the command line about models: what they declare and what they do (see `euclidfm.verbs`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from euclidfm.errors import InputError
from euclidfm.files import record_run
from euclidfm.progress import bar

if TYPE_CHECKING:
    from euclidfm.model import FoundationModel

__all__ = [
    "FINETUNE",
    "GENERATE",
    "IMPORT_ASTROPT",
    "add_finetune",
    "add_generate",
    "add_import_astropt",
    "apply_preset",
    "finetune",
    "generate",
    "import_astropt",
    "training_pictures",
]


# pretrain --preset ---------------------------------------------------------------------------


def apply_preset(parser: Any, argv: list[str]) -> list[str]:
    """Take ``--preset NAME`` out of the arguments of ``pretrain`` and make it the defaults.

    Raises
    ------
    InputError
        If there is no preset of that name.
    """
    from euclidfm.model.presets import names, preset

    parser.add_argument("--preset", type=str, help=f"start from a named model: {', '.join(names())}")
    rest, chosen = [], None
    words = iter(argv)
    for word in words:
        if word == "--preset":
            chosen = next(words, "")
        elif word.startswith("--preset="):
            chosen = word.removeprefix("--preset=")
        else:
            rest.append(word)
    if chosen is not None:
        parser.set_defaults(_flat(preset(chosen)))
    return rest


def _flat(nested: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings by dotted names, as the parser knows them."""
    out: dict[str, Any] = {}
    for key, value in nested.items():
        out |= _flat(value, f"{before}{key}.") if isinstance(value, dict) else {before + key: value}
    return out


# pretrain --sample_every ---------------------------------------------------------------------


def training_pictures(store_path: str | Path, count: int = 6) -> Callable[[FoundationModel, Path], None]:
    """What draws the pictures of a training: validation galaxies, and what the model foresees of them.

    Parameters
    ----------
    store_path : path
    count : int
        Galaxies on a picture: the first ones of the validation split (else of the store).
    """
    from euclidfm.generate import foreseen
    from euclidfm.report.generated import generation_sheet
    from euclidfm.store import GalaxyStore

    store = GalaxyStore.open(store_path)
    held_out = store.rows("validation")
    rows = (held_out if len(held_out) else store.rows())[:count]

    def picture(model: FoundationModel, path: Path) -> None:
        measured, told = foreseen(model, store, rows)
        nothing = replace(measured, images={}, masks={})
        generation_sheet(nothing, measured, told, path, name="foreseen")

    return picture


# import-astropt ------------------------------------------------------------------------------

IMPORT_ASTROPT = """Read a checkpoint of AstroPT (version 1 or 2) into a run folder of ours.

Input: a .pt file; nothing but tensors and plain values is unpickled from it. Output: model.json and
model.safetensors, which `embed` reads like any other. The file does not say which bands its images have,
how large they were, nor the order of the patches: say so where the defaults are not right.

example: euclidfm import-astropt ckpt.pt --out run/ --bands '{images: [VIS, Y, J, H]}' --crop 224"""


def add_import_astropt(parser: Any) -> None:
    """Arguments of ``import-astropt``."""
    parser.add_argument("checkpoint", type=str, help="the .pt file")
    parser.add_argument("--out", type=str, required=True, help="run folder to write")
    parser.add_argument(
        "--bands", type=dict[str, list[str]], default={}, help="bands of each image modality's channels"
    )
    parser.add_argument("--crop", type=int, default=224, help="side of the images in pixels")
    parser.add_argument("--spiral", type=bool, default=True, help="patches in spiral order, else row by row")


def import_astropt(args: Any) -> None:
    """Run ``import-astropt``."""
    from euclidfm.interop import import_astropt as read

    with record_run(args.out, "import-astropt", args.as_dict()):
        model = read(args.checkpoint, args.bands, args.crop, args.spiral)
        model.save(args.out, {"imported_from": str(args.checkpoint)})
    count, names = model.parameter_count() / 1e6, ", ".join(model.config.modalities)
    print(f"{args.out}: {count:.2f} M parameters, modalities {names}, model {model.identity()}", flush=True)


# generate ------------------------------------------------------------------------------------

GENERATE = """Predict modalities of galaxies from others.

Input: a run folder and any store. Output: a folder with a store of the generated images and fluxes (noise and
errors are the model's own uncertainty), and sheet.png with given, measured and generated side by side.

example: euclidfm generate run/ store/ --from vis --to nisp --out generated/
example: euclidfm generate run/ store/ --from vis nisp --to sed --temperature 1 --seed 2 --out draws/
example: euclidfm generate run/ store/ --from vis --to vis --hide_half true --out completed/"""


def add_generate(parser: Any) -> None:
    """Arguments of ``generate``."""
    from euclidfm.generate import GenerateConfig

    parser.add_argument("run", type=str, help="run folder of `euclidfm pretrain`")
    parser.add_argument("store", type=str, help="store with the galaxies")
    parser.add_argument("--from", dest="given", nargs="*", default=[], help="modalities that are given")
    parser.add_argument("--to", nargs="+", required=True, help="modalities to generate")
    parser.add_argument("--out", type=str, required=True, help="folder for the store and the sheet")
    parser.add_argument("--show", type=int, default=8, help="galaxies on the sheet")
    parser.add_argument("--overwrite", type=bool, default=False, help="replace a store of an earlier run")
    parser.add_class_arguments(GenerateConfig, as_group=False, skip={"to", "given"})


def generate(args: Any) -> None:
    """Run ``generate``."""
    from dataclasses import fields

    from euclidfm.generate import GenerateConfig, write
    from euclidfm.model import FoundationModel
    from euclidfm.report.generated import generation_sheet
    from euclidfm.store import GalaxyStore

    model, store, out = FoundationModel.load(args.run), GalaxyStore.open(args.store), Path(args.out)
    names = [f.name for f in fields(GenerateConfig) if f.name not in ("to", "given")]
    config = GenerateConfig(
        to=tuple(args.to), given=tuple(args.given), **{n: getattr(args, n) for n in names}
    )
    with bar("generate") as progress, record_run(out, "generate", config):
        made_store, (measured, given, made) = write(
            model, store, config, out / "store", progress, args.show, args.overwrite
        )
        generation_sheet(given, measured, made, out / "sheet.png")
    print(f"{out}: {made_store}, sheet.png", flush=True)


# finetune ------------------------------------------------------------------------------------

FINETUNE = """Train the upper blocks of a model on the labels of a task, together with a linear head.

Input: a run folder and a store with labels. Output: a folder with the tuned model (model.json +
model.safetensors, which `embed` reads), its head as a probe, predictions for every object, and metrics on the
test split beside those of the linear probe of the model as it was (metrics.json).

example: euclidfm finetune run/ store/ --task photoz --out tuned/
example: euclidfm finetune run/ store/ --task mass --adapt lora --modalities '[VIS, NISP]' --out tuned/"""


def add_finetune(parser: Any) -> None:
    """Arguments of ``finetune``."""
    from euclidfm.tasks.finetune import FineTuneConfig

    parser.add_argument("run", type=str, help="run folder of `euclidfm pretrain`")
    parser.add_argument("store", type=str, help="store with the galaxies and their labels")
    parser.add_argument("--task", type=str, default="photoz", help="photoz, mass, morphology, edge_on, ...")
    parser.add_argument("--out", type=str, required=True, help="folder for the model, its head and metrics")
    parser.add_argument("--modalities", type=list[str] | None, default=None, help="only these; default all")
    parser.add_argument("--seed", type=int, default=0, help="seed of the training")
    parser.add_class_arguments(FineTuneConfig, as_group=False)


def finetune(args: Any) -> None:
    """Run ``finetune``."""
    from dataclasses import fields

    from euclidfm import tasks
    from euclidfm.model import FoundationModel
    from euclidfm.store import GalaxyStore
    from euclidfm.tasks.finetune import FineTuneConfig
    from euclidfm.tasks.tuned import tune_and_write

    model, store, out = FoundationModel.load(args.run), GalaxyStore.open(args.store), Path(args.out)
    if out.resolve() == Path(args.run).resolve():
        msg = f"{out} holds the model to start from; choose another folder for the tuned one"
        raise InputError(msg)
    config = FineTuneConfig(**{f.name: getattr(args, f.name) for f in fields(FineTuneConfig)})
    with bar("finetune", "galaxies and steps") as progress, record_run(out, "finetune", args.as_dict()):
        records = tune_and_write(
            tasks.get(args.task), model, store, out, config, args.modalities or (), args.seed, progress
        )
    for r in records:
        print(f"{r['method']:<16}{r['metric']:<24}{r['value']:>10.4f}   [{r['low']:.4f}, {r['high']:.4f}]")
    print(f"{out}: model, probe, predictions.parquet, metrics.json", flush=True)
