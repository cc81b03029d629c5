"""Verbs of the command line about models: what they declare and what they do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from euclidfm.core.files import record_run
from euclidfm.core.progress import bar

if TYPE_CHECKING:
    from euclidfm.model import FoundationModel

__all__ = [
    "GENERATE",
    "IMPORT_ASTROPT",
    "PREDICT",
    "add_generate",
    "add_import_astropt",
    "add_predict",
    "apply_preset",
    "generate",
    "import_astropt",
    "predict",
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


# pretrain --log_to pictures ---------------------------------------------------------------------


def training_pictures(store_path: str | Path, count: int = 6) -> Callable[[FoundationModel, Path], None]:
    """What draws the pictures of a training: validation galaxies, and what the model foresees of them.

    Parameters
    ----------
    store_path : path
    count : int
        Galaxies on a picture: the first ones of the validation split (else of the store).
    """
    from euclidfm.generate import foreseen
    from euclidfm.report.sheets.generated import generation_sheet
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
    from euclidfm.report.sheets.generated import generation_sheet
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


# predict -------------------------------------------------------------------------------------

PREDICT = """Write a catalogue for science: what fitted probes say of every galaxy of a store.

Input: a run folder, any store (labels are not needed, any modality may be absent) and one or more folders of
`euclidfm probe` (or a folder of such folders). Output: a table with positions, estimates, intervals, class
probabilities, the modalities used, and flags for galaxies unlike those that the probe learnt from. Parquet or
FITS by the ending of --out, or both; units, UCDs, model and data versions are inside. Any number of
galaxies needs the same memory.

example: euclidfm predict run/ store/ science/photoz science/mass --out catalogue.parquet
example: euclidfm predict run/ store/ science/ --out catalogue.parquet catalogue.fits --pdf true"""


def add_predict(parser: Any) -> None:
    """Arguments of ``predict``."""
    parser.add_argument("run", type=str, help="run folder of `euclidfm pretrain`")
    parser.add_argument("store", type=str, help="store with the galaxies")
    parser.add_argument("probes", nargs="+", help="folders of `euclidfm probe`, or folders of such folders")
    parser.add_argument("--out", nargs="+", required=True, help="catalogue: .parquet or .fits, or both")
    parser.add_argument("--pdf", type=bool, default=False, help="also whole densities, where there are any")
    parser.add_argument(
        "--extrapolation",
        type=float,
        default=99.0,
        help="percentile of the training galaxies' own distances beyond which a galaxy is flagged",
    )
    parser.add_argument("--split", type=str | None, default=None, help="only train, validation or test")
    parser.add_argument("--batch", type=int, default=128, help="galaxies embedded at a time")


def predict(args: Any) -> None:
    """Run ``predict``."""
    from euclidfm.model import FoundationModel
    from euclidfm.predict import predict as write
    from euclidfm.store import GalaxyStore

    model, store = FoundationModel.load(args.run), GalaxyStore.open(args.store)
    options = {k: getattr(args, k) for k in ("pdf", "extrapolation", "split", "batch")}
    with bar("predict") as progress:
        rows = write(model, store, args.probes, args.out, **options, progress=progress)
    print(f"{', '.join(args.out)}: {rows} galaxies", flush=True)
