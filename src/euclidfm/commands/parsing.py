"""Command-line parsing: the options and the help of a command, and the call with a user's arguments.

A command is a typed function with a numpydoc docstring. Its required positional parameters become positional
arguments. Its other parameters become options, and so do the fields of its config (a dataclass). The help
shows the text of the docstring and the parameters. `jsonargparse` checks the types and reads ``--config``.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace, set_parsing_settings

from euclidfm.commands.outputs import check_outputs
from euclidfm.commands.renamed import check_renamed
from euclidfm.core.errors import InputError
from euclidfm.core.files import read_yaml

__all__ = ["Parser", "build_parser", "call"]

_WRITTEN_OUT: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "simulate": {
        "processes": ("--processes", {"type": int, "default": 0, "help": "Worker processes; 0: one a core."}),
    },
    "ingest": {
        "source": (
            "source",
            {
                "type": str,
                "help": "Sky folder or URL, irsa, folder of cutouts, photometric table, or "
                "hf://datasets/<owner>/<name>.",
            },
        ),
    },
    "generate": {
        "given": ("--from", {"dest": "given", "nargs": "*", "default": [], "help": "Given modalities."}),
        "to": ("--to", {"nargs": "+", "required": True, "help": "Modalities to generate."}),
    },
    "predict": {
        "probes": ("probes", {"nargs": "+", "help": "Folders of `euclidfm probe`, or folders of those."}),
        "out": ("--out", {"nargs": "+", "required": True, "help": "Catalogue: .parquet or .fits, or both."}),
    },
}
"""Arguments that a signature can't express: several words after one option, another name or default."""

_FIRST = {
    "pretrain": (
        *("store", "help", "config", "print_config", "out", "preset", "steps", "batch", "lr", "seed"),
        *("precision", "model.width", "model.depth", "model.heads", "model.crop", "model.images"),
        "model.objective",
    ),
}
"""What most users need of a command with many options; its help shows the others under a heading."""


class Parser(ArgumentParser):
    """An argument parser that reports a mistake as one sentence."""

    def error(self, message: str, ex: Exception | None = None) -> Any:
        """Raise `InputError`.

        Raises
        ------
        InputError
            With the message and where to find help.
        """
        msg = f"{' '.join(str(message).split())} (see `{self.prog} --help`)"
        raise InputError(msg) from ex


class _HelpFormatter(argparse.RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """A formatter that keeps the line breaks of a description and shows the type of a path as a word."""

    # argparse has no public way to change the text of one argument before it is wrapped.
    def _expand_help(self, action: argparse.Action) -> str:
        return str(super()._expand_help(action)).replace("<class 'Path'>", "path")


def call(verb: str, function: Callable[..., Any], argv: Sequence[str]) -> Any:
    """Call a command with the arguments of a command line.

    Parameters
    ----------
    verb : str
    function : callable
        The command, see the module.
    argv : sequence of str
        Arguments after the verb.

    Returns
    -------
    object
        What the command returns.

    Raises
    ------
    InputError
        If an argument is unknown, missing or of the wrong type, or if an output can't be written.
    """
    words = [word[2:].partition("=")[0] for word in argv if word.startswith("--")]
    check_renamed(verb, [*words, *_config_settings(argv)])
    parser = build_parser(verb, function)
    if verb == "pretrain":
        parser.set_defaults(_preset_settings(argv))
    args = parser.instantiate(parser.parse_args(list(argv)))
    arguments = _arguments(function, args)
    check_outputs(verb, arguments)
    return function(**arguments)


def build_parser(verb: str, function: Callable[..., Any]) -> Parser:
    """The parser of a command.

    Parameters
    ----------
    verb : str
    function : callable
        The command, see the module.

    Returns
    -------
    Parser
    """
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    text = (inspect.getdoc(function) or "").partition("\n\nParameters\n---")[0]
    parser = Parser(prog=f"euclidfm {verb}", description=text)
    parser.formatter_class = _HelpFormatter
    parser.add_argument("--config", action="config", help="YAML file with any of the options below.")
    written_out = _WRITTEN_OUT.get(verb, {})
    name, config = _config_of(function)
    parser.add_function_arguments(
        function, as_group=False, as_positional=True, skip={*written_out, *([name] if name else [])}
    )
    if verb in _FIRST:
        parser.add_argument_group("further options")
    if config is not None:
        known = {f.name for f in fields(config)}
        parser.add_class_arguments(config, as_group=False, skip=known & {*written_out})
    for flag, options in written_out.values():
        parser.add_argument(flag, **options)
    if verb in _FIRST:
        _show_first(parser, _FIRST[verb])
    parser.usage = _usage(verb, function)
    return parser


def _config_of(function: Callable[..., Any]) -> tuple[str, type[Any] | None]:
    """Name and class of the parameter that is a dataclass; ``("", None)`` if there is none."""
    hints = get_type_hints(function)
    for name in inspect.signature(function).parameters:
        for hint in (hints[name], *get_args(hints[name])):
            if isinstance(hint, type) and is_dataclass(hint):
                return name, hint
    return "", None


def _arguments(function: Callable[..., Any], args: Namespace) -> dict[str, Any]:
    """Keyword arguments of the command."""
    name, config = _config_of(function)
    out = {p: getattr(args, p) for p in inspect.signature(function).parameters if p != name}
    if config is not None:
        out[name] = config(**{f.name: getattr(args, f.name) for f in fields(config)})
    return out


def _usage(verb: str, function: Callable[..., Any]) -> str:
    """Write the line that names the required arguments."""
    words = [f"euclidfm {verb}"]
    written_out, (name, config) = _WRITTEN_OUT.get(verb, {}), _config_of(function)
    for p in inspect.signature(function).parameters.values():
        if p.default is p.empty and p.name != name and p.name not in written_out:
            words.append(f"--{p.name} {p.name.upper()}" if p.kind is p.KEYWORD_ONLY else p.name)
    for f in fields(config) if config is not None else ():
        if f.default is MISSING and f.default_factory is MISSING and f.name not in written_out:
            words.append(f"--{f.name} {f.name.upper()}")
    for flag, options in written_out.values():
        if not flag.startswith("--"):
            words.append(f"{flag} ..." if options.get("nargs") == "+" else flag)
        elif options.get("required"):
            words.append(f"{flag} {flag.removeprefix('--').upper()}")
    return " ".join([*words, "[options]"])


def _show_first(parser: Parser, names: Sequence[str]) -> None:
    """Order the help: the named options at the top, the others under headings."""
    # jsonargparse puts the fields of a dataclass into groups of its own. Neither it nor argparse has a public
    # way to move an argument to another group, so the lists behind the groups are changed here.
    top, further, *nested = parser._action_groups[1:]
    for group in (top, *nested):
        shown = [a for a in group._group_actions if a.dest in names]
        others = [a for a in group._group_actions if a.dest not in names]
        if group is top:
            top._group_actions = shown
            further._group_actions += others
        else:
            top._group_actions += shown
            group._group_actions = others


def _given(argv: Sequence[str], option: str) -> list[str]:
    """Values of an option on the command line, as they are written."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument(option, dest="values", action="append", default=[])
    try:
        return list(parser.parse_known_args(list(argv))[0].values)
    except argparse.ArgumentError:  # the value is missing; the command's own parser says so
        return []


def _config_settings(argv: Sequence[str]) -> dict[str, Any]:
    """Settings in the files of ``--config``, by dotted name."""
    out: dict[str, Any] = {}
    for file in _given(argv, "--config"):
        settings = read_yaml(file) if Path(file).is_file() else None
        out |= _flat(settings) if isinstance(settings, dict) else {}
    return out


def _preset_settings(argv: Sequence[str]) -> dict[str, Any]:
    """Settings of ``--preset``, given on the command line or in a file of ``--config``, by dotted name."""
    from euclidfm.pretrain.presets import preset

    name = [_config_settings(argv).get("preset"), *_given(argv, "--preset")][-1]
    return {} if name is None else _flat(preset(name))


def _flat(nested: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Values of nested mappings by dotted names."""
    out: dict[str, Any] = {}
    for key, value in nested.items():
        nested_options = isinstance(value, dict) and key != "options"  # the value of options is a mapping
        out |= _flat(value, f"{before}{key}.") if nested_options else {f"{before}{key}": value}
    return out
