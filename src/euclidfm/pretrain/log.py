"""The log of a training run: log.csv, and optionally TensorBoard and Weights & Biases."""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from euclidfm.core.errors import InputError
from euclidfm.core.files import plain, written_aside
from euclidfm.core.run_folder import ModelFolder

__all__ = ["TrainingLog"]


class TrainingLog:
    """``log.csv`` of a run folder, one row every few steps.

    Parameters
    ----------
    run_dir : path
    step : int
        Step from which the run continues; later rows of an interrupted run are dropped.
    modalities : sequence of str
        They name the columns.
    settings : mapping
        Settings of the run, for Weights & Biases.
    log_to : sequence of str
        ``tensorboard`` and ``wandb`` get the rows too.
    write : bool
        Whether this process writes anything.
    """

    def __init__(
        self,
        run_dir: Path,
        step: int,
        modalities: Sequence[str],
        settings: Mapping[str, Any],
        log_to: Sequence[str] = (),
        write: bool = True,
    ) -> None:
        self.path, self.write = ModelFolder(run_dir).log, write
        self.fields = ["step", "galaxies", "seconds", "lr", "loss", "grad_norm", "val_loss"]
        self.fields += [f"loss_{m}" for m in modalities] + [f"val_{m}" for m in modalities]
        self.rows: list[dict[str, Any]] = []
        log_to = log_to if write else ()
        self.board = _tensorboard(run_dir / "tensorboard", step) if "tensorboard" in log_to else None
        self.wandb = _wandb(run_dir, settings) if "wandb" in log_to else None
        if self.path.exists():
            with self.path.open(newline="") as f:
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
        """Write the file atomically."""
        if not self.write:
            return
        if self.board is not None:
            self.board.flush()
        with written_aside(self.path) as partial, partial.open("w", newline="") as f:
            writer = csv.DictWriter(f, self.fields)
            writer.writeheader()
            writer.writerows(self.rows)

    def close(self) -> None:
        """Write the file and end the run of Weights & Biases."""
        self.flush()
        if self.wandb is not None:
            self.wandb.finish()


def _wandb(run_dir: Path, settings: Mapping[str, Any]) -> Any:
    """Start a run of Weights & Biases, or resume that of the run folder."""
    try:
        import wandb
    except ImportError:
        msg = "wandb is not installed: pip install wandb, or leave wandb out of log_to"
        raise InputError(msg) from None
    return wandb.init(
        project="euclidfm",
        name=run_dir.name,
        id=hashlib.sha256(str(run_dir.resolve()).encode()).hexdigest()[:16],
        resume="allow",
        dir=str(run_dir),
        config=plain(settings),
    )


def _tensorboard(folder: Path, step: int) -> Any:
    """Make a TensorBoard writer; events after `step`, of an interrupted run, are dropped."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        msg = "tensorboard is not installed: pip install tensorboard, or leave it out of log_to"
        raise InputError(msg) from None
    return SummaryWriter(str(folder), purge_step=step)
