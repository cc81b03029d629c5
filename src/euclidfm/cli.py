"""The command line: a table of verbs, each a typed function of `euclidfm.commands`.

Nothing heavy is imported until a verb is known, so ``euclidfm --help`` prints at once. Exit codes: 0 done,
1 internal error, 2 bad usage or bad input (one sentence on stderr), 130 interrupted, 141 if nobody reads the
output any more (as in ``euclidfm info store/ | head``).
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Sequence

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "simulate": ("make a mock Euclid sky: mosaics and catalogues in the Q1 formats", "data:simulate"),
    "validate": ("draw a mock sky's figures and measure its distance from real data", "data:validate"),
    "ingest": ("read mosaics and catalogues, cutouts, or a photometric table into a store", "data:ingest"),
    "pretrain": ("pre-train a foundation model on a store", "model:pretrain"),
    "import-astropt": ("read a checkpoint of AstroPT into a model of ours", "model:import_astropt"),
    "embed": ("compute an embedding of each galaxy of a store", "model:embed"),
    "generate": ("predict modalities from others: images, photometry, scalars", "model:generate"),
    "probe": ("fit and evaluate a small head on embeddings: photo-z, stellar mass, ...", "science:probe"),
    "finetune": ("train the upper blocks of a model on a task's labels", "science:finetune"),
    "predict": ("write a catalogue of probes' estimates for any store", "science:predict"),
    "search": ("find the galaxies most similar to given ones", "discovery:search"),
    "index": ("build an index of embeddings, for searches in millions of galaxies", "discovery:index"),
    "outliers": ("rank galaxies by how unusual they are, and show where", "discovery:outliers"),
    "report": ("write a page with every table and figure of a run", "workflow:report"),
    "explore": ("look at a run in the browser: map, galaxies, neighbours, outliers", "discovery:explore"),
    "demo": ("do all of the above on a small mock sky, in minutes", "workflow:demo"),
    "reproduce": ("test the reference work's claims: every study and baseline", "workflow:reproduce"),
    "info": ("describe any file or folder that this program made", "data:info"),
}
"""Verb -> its one-line help, and its function as ``"module:function"`` of `euclidfm.commands`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    try:
        code = _main(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except BrokenPipeError:
        if not _nobody_reads():
            raise
        return 141  # 128 + SIGPIPE, as for other programs in a pipe
    return code


def _nobody_reads() -> bool:
    """Whether the pipe of the standard output is closed. If so, what is left to print is dropped."""
    try:
        output = sys.stdout.fileno()
    except (OSError, ValueError):  # not a file
        return False
    state = select.poll()
    state.register(output, 0)
    if not any(event & select.POLLERR for _, event in state.poll(0)):
        return False
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, output)
    os.close(nowhere)
    return True


def _main(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if argv else 2
    if argv[0] == "--version":
        from euclidfm import __version__

        print(f"euclidfm {__version__}")
        return 0
    verb, rest = argv[0], argv[1:]
    if verb not in COMMANDS:
        print(f"euclidfm: no verb {verb!r}; the verbs are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    return _run(verb, rest)


def _help() -> str:
    lines = [
        "usage: euclidfm VERB ...",
        "",
        "Foundation models of galaxies, from telescope files to science tables.",
        "",
    ]
    lines += [f"  {verb:<16}{what}" for verb, (what, _) in COMMANDS.items()]
    lines += [
        "",
        "`euclidfm VERB --help` explains a verb, with an example. `euclidfm demo` is a good first one.",
    ]
    return "\n".join(lines)


def _run(verb: str, argv: list[str]) -> int:
    from importlib import import_module

    from euclidfm.commands.parsing import call
    from euclidfm.core.errors import InputError

    module, _, name = COMMANDS[verb][1].partition(":")
    try:
        call(verb, getattr(import_module(f"euclidfm.commands.{module}"), name), argv)
    except SystemExit as e:  # `--help` and `--print_config` end here
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
        if isinstance(e, BrokenPipeError) and _nobody_reads():
            return 141
        print(f"euclidfm {verb}: {e.strerror or e}: {e.filename or 'writing the output'}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"euclidfm {verb}: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
