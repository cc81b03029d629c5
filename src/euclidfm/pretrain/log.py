"""The log of a run."""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from euclidfm.core.errors import InputError
from euclidfm.core.files import plain, written_aside

__all__ = ["RunLog"]


class RunLog:
    """``log.csv``: one row every few steps; rows beyond a resumed step are dropped.

    Parameters
    ----------
    path : path
        ``log.csv`` of a run folder.
    step : int
        Step from which the run goes on.
    modalities : list of str
    write : bool
        Whether this process writes.
    tensorboard : bool
        Log for TensorBoard too.
    wandb : mapping, optional
        Log to Weights & Biases too, with these settings of the run.
    """

    def __init__(
        self,
        path: Path,
        step: int,
        modalities: list[str],
        write: bool,
        tensorboard: bool = False,
        wandb: Mapping[str, Any] | None = None,
    ) -> None:
        self.path, self.write = path, write
        self.fields = ["step", "galaxies", "seconds", "lr", "loss", "grad_norm", "val_loss"]
        self.fields += [f"loss_{m}" for m in modalities] + [f"val_{m}" for m in modalities]
        self.rows: list[dict[str, Any]] = []
        self.board = _board(path.parent / "tensorboard", step) if write and tensorboard else None
        self.wandb = _wandb(path.parent, wandb) if write and wandb is not None else None
        if path.exists():
            with path.open(newline="") as f:
                self.rows = [r for r in csv.DictReader(f) if int(r["step"]) <= step]

    def lowest(self, name: str) -> float:
        """Lowest value of a column so far; infinity if there is none."""
        return min((float(r[name]) for r in self.rows if r.get(name) not in (None, "")), default=math.inf)

    def add(self, row: dict[str, Any]) -> None:
        """Append a row."""
        self.rows.append(row)
        if self.board is not None:
            for name in set(row) - {"step"}:
                self.board.add_scalar(name, row[name], row["step"])
        if self.wandb is not None:
            self.wandb.log({k: v for k, v in row.items() if k != "step"}, step=row["step"])

    def flush(self) -> None:
        """Write the file."""
        if not self.write:
            return
        if self.board is not None:
            self.board.flush()
        with written_aside(self.path) as aside, aside.open("w", newline="") as f:
            writer = csv.DictWriter(f, self.fields)
            writer.writeheader()
            writer.writerows(self.rows)

    def close(self) -> None:
        """Write what is left, and say that the run is over."""
        self.flush()
        if self.wandb is not None:
            self.wandb.finish()


def _wandb(run: Path, config: Mapping[str, Any]) -> Any:
    """A run of Weights & Biases; the same one if the run folder is continued."""
    try:
        import wandb
    except ImportError:
        msg = "wandb is not installed: pip install wandb, or leave the option out"
        raise InputError(msg) from None
    name = hashlib.sha256(str(run.resolve()).encode()).hexdigest()[:16]
    return wandb.init(
        project="euclidfm", name=run.name, id=name, resume="allow", dir=str(run), config=plain(config)
    )


def _board(folder: Path, step: int) -> Any:
    """A TensorBoard writer that drops what a killed run wrote after `step`."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        msg = "tensorboard is not installed: pip install tensorboard, or leave the option out"
        raise InputError(msg) from None
    return SummaryWriter(str(folder), purge_step=step)
