"""Options of the command line that have a new name or are gone."""

from __future__ import annotations

from collections.abc import Iterable

from euclidfm.core.errors import InputError

__all__ = ["REMOVED_OPTIONS", "RENAMED_OPTIONS", "check_renamed"]

RENAMED_OPTIONS: dict[str, dict[str, str]] = {
    "embed": {"turns": "symmetries"},
    "finetune": {"held": "holdout"},
    "pretrain": {
        "model.tokens.places": "model.positions",
        "turn": "random_symmetry",
        "shuffle_patches": "random_order=patches",
        "sample_every": "log_to=[pictures], which draws at each validation",
        "tensorboard": "log_to=[tensorboard]",
        "wandb": "log_to=[wandb]",
    },
}
"""Per verb: old name of an option -> its name now, both without the leading ``--``."""

REMOVED_OPTIONS: dict[str, dict[str, str]] = {
    "pretrain": {
        "model.blocks": "blocks have one architecture; the presets astropt-... have the reference work's",
        "model.dof": "the degrees of freedom of the likelihood are learned",
        "model.image_scaling": "pixels are scaled by asinh; the presets astropt-... standardise patches",
        "model.image_softening": "pixels are softened at 3 times the noise",
        "model.mlp_ratio": "the feed-forward layer is 4 times as wide as the stream",
        "model.sed_error_floor": "errors of the SED below 10% count as 10% in the loss",
        "model.tokens": "token encoders are fixed; the presets astropt-... have the reference work's",
        "clip": "the norm of the gradient is clipped to 1",
        "decay": "the schedule wsd decays over the last fifth of the steps",
        "hide": "a masked model predicts half of the tokens",
        "keep": "the last two checkpoints are kept",
        "keep_best": "the best model is always kept",
    },
}
"""Per verb: name of an option that is gone -> what holds instead."""


def check_renamed(verb: str, names: Iterable[str]) -> None:
    """Check that no option is given by its old name.

    An entry holds for everything below it: with ``{"model.tokens": "model.token"}`` the option
    ``model.tokens.size`` is answered with ``model.token.size``.

    Parameters
    ----------
    verb : str
    names : iterable of str
        Names of the options that are given, without the leading ``--``.

    Raises
    ------
    InputError
        With the new name, for an old one; with what holds instead, for one that is gone.
    """
    renamed, removed = RENAMED_OPTIONS.get(verb, {}), REMOVED_OPTIONS.get(verb, {})
    for name in names:
        if name in removed:
            msg = f"option --{name} of `{verb}` was removed: {removed[name]}"
            raise InputError(msg)
        for old in sorted(renamed, key=len, reverse=True):
            if name == old or name.startswith(f"{old}."):
                new = renamed[old] + name.removeprefix(old)
                msg = f"option --{name} of `{verb}` is now --{new}"
                raise InputError(msg)
