"""Verbs of the command line about models: what they declare and what they do (see `euclidfm.verbs`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from euclidfm.files import record_run
from euclidfm.progress import bar

__all__ = ["GENERATE", "add_generate", "generate"]


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
