"""AstroPT checkpoints (versions 1 and 2) as models of ours.

What is in such a file, as observed on astropt 1.0.2 and 2.0.9: a dictionary with ``model`` (weights),
``model_args`` (sizes) and, in version 2, ``modality_registry`` (names and sizes of the modalities).

==============================  ======================================================
weight there                    weight here
==============================  ======================================================
``transformer.wte.M.*``         ``token_encoders.M``; version 1 has one, of its only modality
``transformer.wpe.M.*``         ``positions.tables.M``: by rank, or projected coordinates
``transformer.h.N.*``           ``transformer.blocks.N``
``transformer.ln_f``            ``transformer.norm``
``lm_head.M.*``                 ``token_decoders.M``
==============================  ======================================================

Patches there hold their bands last, here first, so the columns of an image's first layer and the rows
of its last are put in our order; everything else is taken as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from euclidfm.core.bands import BANDS
from euclidfm.core.errors import InputError
from euclidfm.interop.astropt.checkpoint import read_checkpoint
from euclidfm.interop.astropt.network import ASTROPT, AstroPT
from euclidfm.model.config import SED, ImageModality, ModelConfig, VectorModality
from euclidfm.model.foundation import FoundationModel

__all__ = ["import_astropt"]

_USUAL_BANDS = {1: ("VIS",), 4: ("VIS", "Y", "J", "H")}


@dataclass(frozen=True)
class _Modality:
    """Settings of one modality, as the checkpoint stores them."""

    name: str
    size: int
    patch: int
    coordinates: int
    """0: places by rank."""
    loss_weight: float = 1.0


def import_astropt(
    path: str | Path, bands: Mapping[str, Sequence[str]] | None = None, crop: int = 224, spiral: bool = True
) -> FoundationModel:
    """Read an AstroPT checkpoint into a model of ours.

    Parameters
    ----------
    path : path
        The ``.pt`` file. Nothing but tensors and plain values is unpickled from it.
    bands : dict of modality to bands, optional
        Bands of each image modality, in the order of its channels; the file does not say. Default VIS for
        one channel, and VIS, Y, J, H for four.
    crop : int
        Side in pixels of the images that the model was trained on; the file does not say.
    spiral : bool
        Whether its patches were in spiral order (else row by row); the file does not say.

    Returns
    -------
    FoundationModel
        Modalities of single values become ``SED``; those that are neither images nor single values
        (spectra) are `VectorModality`: the caller makes their tokens. Pixels are scaled patch by patch
        (``zscore``) as there.

    Raises
    ------
    InputError
        If the file is no AstroPT checkpoint, has what we do not know, or the bands are not known.
    """
    checkpoint = read_checkpoint(Path(path))
    args, state = checkpoint.args, dict(checkpoint.weights)
    first = not any(k.startswith("transformer.wpe.") and k != "transformer.wpe.weight" for k in state)
    modalities = _one_modality(args) if first else _modalities(checkpoint.registry, path)
    names = _our_names(modalities)
    config = _config(args, state, modalities, names, bands or {}, crop, spiral, first, path)
    ours = _renamed(state, names, first, path)
    for m in config.images:
        _bands_first(ours, m)
    model = AstroPT(config)
    ours["modality_mean"] = model.modality_mean
    try:
        model.load_state_dict(ours)
    except RuntimeError as e:
        msg = f"{path}: its weights do not fit its sizes ({' '.join(str(e).split())})"
        raise InputError(msg) from None
    return model.eval()


def _modalities(registry: Mapping[str, Mapping[str, Any]], path: str | Path) -> list[_Modality]:
    """Modalities of a version 2 file, in the order in which that model reads them: by name."""
    if not registry:
        msg = f"{path} does not say what its modalities are (no modality_registry), so it can't be read"
        raise InputError(msg)
    return [
        _Modality(
            name=name,
            size=int(m["input_size"]),
            patch=int(m["patch_size"]),
            coordinates=0 if m["embed_pos"] else int(m["pos_input_size"]),
            loss_weight=float(m.get("loss_weight", 1.0)),
        )
        for name, m in sorted(registry.items())
    ]


def _one_modality(args: Mapping[str, Any]) -> list[_Modality]:
    """The images of a version 1 file; the defaults are that version's."""
    patch, channels = int(args.get("patch_size", 16)), int(args.get("n_chan", 1))
    return [_Modality("images", patch**2 * channels, patch, 0)]


def _is_image(m: _Modality) -> bool:
    return m.coordinates == 0 and m.patch > 1 and m.size % m.patch**2 == 0


def _our_names(modalities: list[_Modality]) -> dict[str, str]:
    """Our names: a modality of single values is the SED, if it is the only one or is named so."""
    single = [m.name for m in modalities if m.size == 1 and m.coordinates == 0]
    sed = {n for n in single if len(single) == 1 or n.lower() == "sed"}
    return {m.name: SED if m.name in sed else m.name for m in modalities}


def _config(
    args: Mapping[str, Any],
    state: Mapping[str, Tensor],
    modalities: list[_Modality],
    names: Mapping[str, str],
    bands: Mapping[str, Sequence[str]],
    crop: int,
    spiral: bool,
    first: bool,
    path: str | Path,
) -> ModelConfig:
    for what, plain in (("lora_r", 0), ("attn_type", "causal"), ("backbone", "native")):
        if args.get(what, plain) != plain:
            msg = f"{path} has {what} = {args[what]!r}; only models with {plain!r} can be imported"
            raise InputError(msg)
    width = state["transformer.ln_f.weight"].shape[0]
    depth = 1 + max(int(k.split(".")[2]) for k in state if k.startswith("transformer.h."))
    heads = int(args.get("n_head", 12))
    bias = "transformer.ln_f.bias" in state
    kind = "relu" if first else str(args.get("tokeniser", "aim"))
    if kind not in ("relu", "aim", "affine"):
        msg = f"{path} has the tokeniser {kind!r}; only 'aim' and 'affine' can be imported"
        raise InputError(msg)
    images, vectors = [], []
    for m in modalities:
        if _is_image(m):
            images.append(ImageModality(name=m.name, bands=_bands_of(m, bands, path), patch=m.patch))
        elif names[m.name] != SED:
            vectors.append(VectorModality(name=m.name, size=m.size, coordinates=m.coordinates))
    order = tuple(names.values())
    table = next((v for k, v in state.items() if k.endswith(("wpe.weight", ".wpe.weight"))), None)
    return ModelConfig(
        images=tuple(images),
        sed=SED in order,
        vectors=tuple(vectors),
        order=order,
        crop=crop,
        width=width,
        depth=depth,
        heads=heads,
        architecture="astropt",
        image_encoder=0,
        options=ASTROPT
        | {
            "bias": bias,
            "token_encoder": kind,
            "token_decoder": kind,
            "token_bias": bias or first,
            "max_positions": 1024 if table is None else len(table),
            "patch_order": "spiral" if spiral else "raster",
        },
        embed_layer=depth if first else depth // 2 + 1,
        embed_backwards=False,
        loss_weights={names[m.name]: m.loss_weight / len(modalities) for m in modalities},
    )


def _bands_of(m: _Modality, bands: Mapping[str, Sequence[str]], path: str | Path) -> tuple[str, ...]:
    channels = m.size // m.patch**2
    given = tuple(bands.get(m.name, _USUAL_BANDS.get(channels, ())))
    if channels == 3 and m.name.lower() == "nisp" and not given:
        given = ("Y", "J", "H")
    if len(given) != channels:
        example = ", ".join(list(BANDS)[1 : 1 + channels])
        msg = (
            f"{path}: images {m.name!r} have {channels} channels and the file does not say which: "
            f"give their bands, for example --bands '{{{m.name}: [{example}]}}'"
        )
        raise InputError(msg)
    return given


_LAYERS = {
    "ln_1": "norm_attention",
    "attn.c_attn": "qkv",
    "attn.c_proj": "out",
    "ln_2": "norm_mlp",
    "mlp.c_fc": "up",
    "mlp.c_proj": "down",
}
_TWO_LAYERS = {"c_fc": "0", "c_proj": "2"}


def _renamed(
    state: Mapping[str, Tensor], names: Mapping[str, str], first: bool, path: str | Path
) -> dict[str, Tensor]:
    """Weights by our names; heads for fine-tuning are left out."""
    affine = not any(".c_proj." in k for k in state if k.startswith("lm_head."))
    out = {}
    for key, value in state.items():
        if key.startswith("task_head."):
            continue
        new = _our_key(key, names, first, affine)
        if new is None:
            msg = f"{path} holds the weight {key!r}, which an AstroPT of version 1 or 2 does not have"
            raise InputError(msg)
        out[new] = value
    return out


def _our_key(key: str, names: Mapping[str, str], first: bool, affine: bool) -> str | None:
    parts = key.split(".")
    kind = parts[-1]
    if key.startswith("transformer.h."):
        layer = _LAYERS.get(".".join(parts[3:-1]))
        return layer and f"transformer.blocks.{parts[2]}.{layer}.{kind}"
    if key.startswith("transformer.ln_f."):
        return f"transformer.norm.{kind}"
    if first:
        only = next(iter(names.values()))
        known = {"transformer.wte": f"token_encoders.{only}", "lm_head": f"token_decoders.{only}"}
        for there, here in known.items():
            if key.startswith(there + "."):
                return f"{here}.{parts[-2]}.{kind}"
        return f"positions.tables.{only}.weight" if key == "transformer.wpe.weight" else None
    if len(parts) < 4:
        return None
    places = {"wte": "token_encoders", "wpe": "positions.tables"}
    home = "token_decoders" if parts[0] == "lm_head" else places.get(parts[1])
    name = names.get(parts[1] if parts[0] == "lm_head" else parts[2])
    if home is None or name is None:
        return None
    if parts[-2] == "wpe":
        return f"{home}.{name}.weight"
    if affine:
        return f"{home}.{name}.{kind}" if parts[-2] == "c_fc" else None
    layer = _TWO_LAYERS.get(parts[-2])
    return layer and f"{home}.{name}.{layer}.{kind}"


def _bands_first(state: dict[str, Tensor], m: ImageModality) -> None:
    """Put the values of a patch in our order: all pixels of the first band, then of the second, ..."""
    c, pixels = len(m.bands), m.patch**2
    order = torch.arange(c * pixels).reshape(pixels, c).T.reshape(-1)
    readers = sorted(k for k in state if k.startswith(f"token_encoders.{m.name}.") and k.endswith("weight"))
    state[readers[0]] = state[readers[0]][:, order]
    predictors = sorted(k for k in state if k.startswith(f"token_decoders.{m.name}."))
    last = predictors[-1].rsplit(".", 1)[0]
    for kind in ("weight", "bias"):
        if f"{last}.{kind}" in state:
            state[f"{last}.{kind}"] = state[f"{last}.{kind}"][order]
