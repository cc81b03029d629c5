"""The command line: a table of verbs, each a typed function of `euclidfm.commands.parsing`.

Nothing heavy is imported until a verb is known, so that ``euclidfm --help`` answers at once.
Exit codes: 0 done, 2 bad usage or bad input (one sentence on stderr), 1 an internal error.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["VERBS", "main"]

VERBS = {
    "simulate": "make a mock Euclid sky: mosaics and catalogues in the Q1 formats",
    "validate": "draw a mock sky's validation figures and measure its distance from real data",
    "ingest": "read mosaics and catalogues, cutouts, or a photometric table into a store",
    "pretrain": "pre-train a foundation model on a store",
    "import-astropt": "read a checkpoint of AstroPT into a model of ours",
    "embed": "turn the galaxies of a store into vectors",
    "generate": "predict modalities of galaxies from others: images from images, photometry from images",
    "probe": "fit and evaluate a small head on embeddings: photo-z, stellar mass, morphology, ...",
    "finetune": "train the upper blocks of a model on a task's labels, with a linear head",
    "predict": "write a catalogue of what fitted probes say of any store, with intervals and flags",
    "search": "find the galaxies most like given ones",
    "index": "build an index of embeddings, for searches in millions of galaxies",
    "outliers": "rank galaxies by how unusual they are, and show where",
    "report": "write a page with every table and figure of a run",
    "explore": "look at a run in the browser: map, galaxies, neighbours, outliers, selections",
    "demo": "do all of the above on a small mock sky, in minutes",
    "reproduce": "test the reference work's claims: every study and baseline, with verdicts",
    "info": "describe any file or folder that this program made",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if argv else 2
    if argv[0] == "--version":
        from euclidfm import __version__

        print(f"euclidfm {__version__}")
        return 0
    verb, rest = argv[0], argv[1:]
    if verb not in VERBS:
        print(f"euclidfm: no verb {verb!r}; the verbs are {', '.join(VERBS)}", file=sys.stderr)
        return 2
    return _run(verb, rest)


def _help() -> str:
    lines = [
        "usage: euclidfm VERB ...",
        "",
        "Foundation models of galaxies, from telescope files to science tables.",
        "",
    ]
    lines += [f"  {verb:<16}{what}" for verb, what in VERBS.items()]
    lines += [
        "",
        "`euclidfm VERB --help` explains a verb, with an example. `euclidfm demo` is a good first one.",
    ]
    return "\n".join(lines)


def _run(verb: str, argv: list[str]) -> int:
    from euclidfm.commands.parsing import parse
    from euclidfm.core.errors import InputError

    try:
        call = parse(verb, argv)
        call()
    except SystemExit as e:  # the argument parser has said what is wrong
        return int(e.code or 0)
    except InputError as e:
        print(f"euclidfm {verb}: {e}", file=sys.stderr)
        return 2
    except PermissionError as e:
        print(
            f"euclidfm {verb}: no permission for {e.filename}; change its mode or its owner", file=sys.stderr
        )
        return 2
    except OSError as e:
        print(f"euclidfm {verb}: {e.strerror or e}: {e.filename or 'writing the output'}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"euclidfm {verb}: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
