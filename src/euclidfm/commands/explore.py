"""The verb ``explore``: what it declares and what it does (see `euclidfm.commands.parsing`)."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

__all__ = ["EXPLORE", "add_explore", "explore"]

EXPLORE = """Look at a run in the browser: map, galaxies, neighbours, outliers, selections.

Input: a folder as `euclidfm demo` leaves it; parts that are missing are left out and named. Output: a page
served to this machine alone, until stopped. The map is kept in RUN/explore/, ratings go to RUN/ratings.csv.

example: euclidfm explore demo/
example: euclidfm explore demo/ --port 0 --browser false
example: euclidfm explore demo/ --host 0.0.0.0 --token $(openssl rand -hex 16)"""


def add_explore(parser: Any) -> None:
    """Arguments of ``explore``."""
    from euclidfm.explore.serve import ExploreConfig

    parser.add_argument("run", type=str, help="folder of a run")
    parser.add_class_arguments(ExploreConfig, as_group=False)


def explore(args: Any) -> None:
    """Run ``explore``."""
    from euclidfm.explore.serve import ExploreConfig
    from euclidfm.explore.serve import explore as serve

    config = ExploreConfig(**{f.name: getattr(args, f.name) for f in fields(ExploreConfig)})
    serve(Path(args.run), config)
