"""What each verb of the command line does: parse, call the library, say what was written.

Each verb is a pair of functions: ``_add_<verb>`` declares the arguments (a dataclass config, which
can come from ``--config FILE.yaml``, and what is not configuration: inputs and outputs), and
``_<verb>`` runs it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from jsonargparse import ArgumentParser, Namespace, set_parsing_settings

from euclidfm.commands import discovery as discover_verbs
from euclidfm.commands import explore as explore_verbs
from euclidfm.commands import model as model_verbs
from euclidfm.commands import science as science_verbs
from euclidfm.commands.renamed import check_renamed
from euclidfm.core.errors import InputError
from euclidfm.core.files import read_yaml, record_run
from euclidfm.core.progress import bar

__all__ = ["parse"]

T = TypeVar("T")


class _Parser(ArgumentParser):
    """An argument parser whose complaint is one sentence."""

    def error(self, message: str, ex: Exception | None = None) -> Any:
        msg = f"{' '.join(str(message).split())} (see `{self.prog} --help`)"
        raise InputError(msg) from ex


@dataclass(frozen=True)
class _Verb:
    text: str
    add: Callable[[_Parser], None]
    run: Callable[[Namespace], None]


def parse(verb: str, argv: list[str]) -> Callable[[], None]:
    """Parse a verb's arguments; returns what remains to be called."""
    check_renamed(verb, _option_names(argv))
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    spec = _SPECS[verb]
    parser = _Parser(prog=f"euclidfm {verb}", description=spec.text, formatter_class=_formatter())
    parser.add_argument("--config", action="config", help="YAML file with any of the options below")
    spec.add(parser)
    if verb == "pretrain":
        argv = model_verbs.apply_preset(parser, argv)
    args = parser.instantiate(parser.parse_args(argv))
    return partial(spec.run, args)


def _option_names(argv: list[str]) -> list[str]:
    """Names of the options on the command line and in the files of ``--config``, nested ones with dots."""
    names: list[str] = []
    for i, word in enumerate(argv):
        if not word.startswith("--"):
            continue
        name, _, value = word[2:].partition("=")
        names.append(name)
        if name == "config":
            file = value or "".join(argv[i + 1 : i + 2])
            names += _keys(read_yaml(file)) if Path(file).is_file() else []
    return names


def _keys(settings: Any, before: str = "") -> list[str]:
    """Keys of nested mappings, joined with dots."""
    if not isinstance(settings, dict):
        return []
    names = [f"{before}{key}" for key in settings]
    return names + [n for key, value in settings.items() for n in _keys(value, f"{before}{key}.")]


def _formatter() -> Any:
    from jsonargparse import DefaultHelpFormatter

    class Formatter(DefaultHelpFormatter):
        def _fill_text(self, text: str, width: int, indent: str) -> str:
            return "\n".join(indent + line for line in text.strip().splitlines())

    return Formatter


def _config(cls: type[T], args: Namespace, **given: Any) -> T:
    return cls(**{f.name: getattr(args, f.name) for f in fields(cls) if f.name not in given}, **given)  # type: ignore[arg-type]


def _say(text: str) -> None:
    print(text, flush=True)


# simulate ------------------------------------------------------------------------------------


def _add_simulate(parser: _Parser) -> None:
    from euclidfm.simulate import SkyConfig

    parser.add_argument("--out", type=str, default="sky", help="folder for the sky files")
    parser.add_class_arguments(SkyConfig, as_group=False)
    parser.set_defaults(processes=0)


def _simulate(args: Namespace) -> None:
    from euclidfm.simulate import SkyConfig, simulate_sky

    config = _config(SkyConfig, args)
    with bar("simulate", "objects") as progress, record_run(args.out, "simulate", config):
        summary = simulate_sky(config, args.out, progress)
    kinds = ", ".join(f"{n} {kind}" for kind, n in summary["kinds"].items())
    _say(f"{args.out}: {summary['objects']} objects ({kinds}) in {len(summary['files'])} files")


# validate ------------------------------------------------------------------------------------


def _add_validate(parser: _Parser) -> None:
    parser.add_argument("sky", type=str, help="folder that `euclidfm simulate` wrote")
    parser.add_argument("--out", type=str, default="validation", help="folder for the figures")
    parser.add_argument("--real", type=str | None, default=None, help="folder of real tables to compare with")


def _validate(args: Namespace) -> None:
    from euclidfm.simulate import validate_sky
    from euclidfm.simulate.validation.run import summary_lines

    with bar("validate", "steps") as progress:
        result = validate_sky(args.sky, args.out, args.real, progress)
    for line in summary_lines(result):
        _say(line)
    _say(f"{args.out}: figures and validation.json")


# ingest --------------------------------------------------------------------------------------


def _add_ingest(parser: _Parser) -> None:
    from euclidfm.ingest import IngestConfig

    parser.add_argument(
        "source",
        type=str,
        help="sky folder or URL, irsa, folder of cutouts, photometric table, or hf://datasets/<owner>/<name>",
    )
    parser.add_argument("--out", type=str, required=True, help="folder of the store")
    parser.add_argument("--overwrite", type=bool, default=False, help="replace an existing store")
    parser.add_class_arguments(IngestConfig, as_group=False, skip={"source"})


def _ingest(args: Namespace) -> None:
    from euclidfm.ingest import IngestConfig, ingest

    config = _config(IngestConfig, args, source=args.source)
    with bar("ingest") as progress, record_run(args.out, "ingest", config, appears=True):
        summary = ingest(config, args.out, progress=progress, overwrite=args.overwrite)
    for step, left in summary["funnel"]:
        _say(f"{left:>9}  {step}")
    _say(f"{args.out}: {summary['rows']} galaxies, {summary['quarantined']} in quarantine")


# pretrain ------------------------------------------------------------------------------------


def _add_pretrain(parser: _Parser) -> None:
    from euclidfm.pretrain import PretrainConfig

    parser.add_argument("store", type=str, help="store to train on (its training split)")
    parser.add_argument("--out", type=str, required=True, help="run folder; continues if it holds this run")
    parser.add_class_arguments(PretrainConfig, as_group=False)


def _pretrain(args: Namespace) -> None:
    from euclidfm.pretrain import PretrainConfig, pretrain

    config = _config(PretrainConfig, args)
    with bar("pretrain") as progress, record_run(args.out, "pretrain", config):
        picture = model_verbs.training_pictures(args.store) if "pictures" in config.log_to else None
        model = pretrain(config, args.store, args.out, progress, picture)
    _say(f"{args.out}: {model.parameter_count() / 1e6:.2f} M parameters, model {model.identity()}")


# embed ---------------------------------------------------------------------------------------


def _add_embed(parser: _Parser) -> None:
    parser.add_argument("run", type=str, help="run folder of `euclidfm pretrain`")
    parser.add_argument("store", type=str, help="store to embed")
    parser.add_argument("--out", type=str, required=True, help="Parquet file for the embeddings")
    parser.add_argument("--modalities", type=list[str] | None, default=None, help="only these; default all")
    parser.add_argument("--split", type=str | None, default=None, help="only train, validation or test")
    parser.add_argument("--layer", type=int | None, default=None, help="block to read; default the model's")
    parser.add_argument(
        "--turns", type=int, default=1, help="symmetries to average over; 8: however a galaxy lies on the sky"
    )
    parser.add_argument(
        "--columns", type=list[str] | None, default=None, help="columns to take along; default the flags"
    )
    parser.add_argument(
        "--precision",
        type=Literal["fp32", "bf16", "auto"],
        default="fp32",
        help="of matrix products; bf16 and auto (bf16 where fast) are faster, but cost redshifts and masses",
    )
    parser.add_argument(
        "--compile", type=bool, default=False, help="compile the blocks: pays from many thousand galaxies on"
    )
    parser.add_argument(
        "--append", type=bool, default=False, help="add to the embeddings in --out, replacing known galaxies"
    )


def _embed(args: Namespace) -> None:
    from euclidfm.embeddings import EmbeddingTable, embed
    from euclidfm.model import FoundationModel
    from euclidfm.model.compiled import compile_blocks
    from euclidfm.store import GalaxyStore

    model, store = FoundationModel.load(args.run), GalaxyStore.open(args.store)
    if args.compile:
        compile_blocks(model)
    with bar("embed") as progress:
        emb = embed(
            model,
            store,
            modalities=args.modalities,
            split=args.split,
            layer=args.layer,
            columns=args.columns,
            turns=args.turns,
            precision=args.precision,
            progress=progress,
        )
    if args.append and Path(args.out).exists():
        emb = EmbeddingTable.read(args.out).updated(emb)
    emb.write(args.out)
    _say(f"{args.out}: {emb}")


# info ----------------------------------------------------------------------------------------


def _add_info(parser: _Parser) -> None:
    parser.add_argument("path", type=str, help="any file or folder that this program made")
    parser.add_argument(
        "--quality", type=str | None, default=None, help="HTML file for the quality report of a store"
    )


def _info(args: Namespace) -> None:
    from euclidfm.commands.info import describe

    _say(describe(Path(args.path)))
    if args.quality:
        from euclidfm.ingest import quality_report

        quality_report(args.path, args.quality)
        _say(f"{args.quality}: quality report")


_SPECS = {
    "simulate": _Verb(
        """Make a mock Euclid sky with known truth.

Writes a folder of VIS, NIR-Y, NIR-J and NIR-H mosaics with RMS and flag maps, MER catalogues, a table
of spectroscopic redshifts, and truth.parquet, in the names and units of the Q1 release.

example: euclidfm simulate --preset q1-like --galaxies 20000 --seed 1
example: euclidfm simulate --objects 3600 --seed 1 --out sky/""",
        _add_simulate,
        _simulate,
    ),
    "validate": _Verb(
        """Draw the validation figures of a mock sky and measure how far it is from real data.

Input: a sky. Output: a folder with number counts, n(z), size and colour planes, a contact sheet of every
class, and validation.json. With real tables (--real, EUCLIDFM_REAL_DATA) mock and real are overlaid, and
two-sample distances and the accuracy of a real-or-mock classifier are printed.

example: euclidfm validate sky/ --out validation/""",
        _add_validate,
        _validate,
    ),
    "ingest": _Verb(
        """Read telescope files into a store.

Input: a folder of MER mosaics and catalogues or its URL, IRSA's services with a list of positions, a folder
of multi-extension cutouts (VIS, NIR_Y, ...), a photometric table with a recipe, or a Hugging Face data set
with a recipe. Output: a store, one row a galaxy, with cutouts, masks, noise, SED and
labels; objects that can't be used go to quarantine.parquet with the reason.

example: euclidfm ingest sky/ --out store/ --size 64
example: euclidfm ingest s3://nasa-irsa-euclid-q1/q1 --tiles '[102018211]' --out store/
example: euclidfm ingest irsa --coordinates list.csv --out store/
example: euclidfm ingest zcosmos.csv --recipe zcosmos --out store/""",
        _add_ingest,
        _ingest,
    ),
    "pretrain": _Verb(
        """Pre-train a foundation model by next-token prediction on a store.

Input: a store. Output: a run folder with model.json + model.safetensors, config.yaml, log.csv and
checkpoints; the same command continues a run that was stopped. Several processes: torchrun.

example: euclidfm pretrain store/ --out run/ --steps 2000 --model.width 192
example: euclidfm pretrain store/ --out run/ --preset astropt-90m --model.crop 64""",
        _add_pretrain,
        _pretrain,
    ),
    "embed": _Verb(
        """Turn the galaxies of a store into vectors.

Input: a run folder and any store (galaxies may lack any band, image or SED). Output: a Parquet table with
object_id, ra, dec, split, vector (joint) and vector_<modality>.

example: euclidfm embed run/ store/ --out embeddings.parquet
example: euclidfm embed run/ store/ --out vis.parquet --modalities '[VIS]'""",
        _add_embed,
        _embed,
    ),
    "import-astropt": _Verb(
        model_verbs.IMPORT_ASTROPT, model_verbs.add_import_astropt, model_verbs.import_astropt
    ),
    "generate": _Verb(model_verbs.GENERATE, model_verbs.add_generate, model_verbs.generate),
    "probe": _Verb(science_verbs.PROBE, science_verbs.add_probe, science_verbs.probe),
    "finetune": _Verb(science_verbs.FINETUNE, science_verbs.add_finetune, science_verbs.finetune),
    "predict": _Verb(model_verbs.PREDICT, model_verbs.add_predict, model_verbs.predict),
    "search": _Verb(discover_verbs.SEARCH, discover_verbs.add_search, discover_verbs.search),
    "index": _Verb(discover_verbs.INDEX, discover_verbs.add_index, discover_verbs.index),
    "outliers": _Verb(discover_verbs.OUTLIERS, discover_verbs.add_outliers, discover_verbs.outliers),
    "report": _Verb(science_verbs.REPORT, science_verbs.add_report, science_verbs.report),
    "explore": _Verb(explore_verbs.EXPLORE, explore_verbs.add_explore, explore_verbs.explore),
    "demo": _Verb(science_verbs.DEMO, science_verbs.add_demo, science_verbs.demo),
    "reproduce": _Verb(science_verbs.REPRODUCE, science_verbs.add_reproduce, science_verbs.reproduce),
    "info": _Verb(
        """Describe a file or folder that this program made: a sky, a store, a run, embeddings, results.

With --quality the quality report of a store is written: sky map, counts, magnitudes, colours, masked
pixels, cutouts, selection funnel, quarantine, on one self-contained page.

example: euclidfm info store/
example: euclidfm info store/ --quality quality.html""",
        _add_info,
        _info,
    ),
}
