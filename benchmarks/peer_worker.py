"""One measurement of the peer (astropt, installed apart), in its own process; see training.py."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from typing import Any

import torch
from cases import CASES, answer, flops_of, measure, tokens_of


def build(case: dict[str, Any]) -> tuple[torch.nn.Module, dict[str, Any], dict[str, Any]]:
    """Their model, and a batch of noise as their data set would give it."""
    from astropt.model import GPT, GPTConfig, ModalityConfig, ModalityRegistry

    side = case["size"] // case["patch"]
    parts = [
        ModalityConfig(
            name=name, input_size=case["patch"] ** 2 * len(bands), patch_size=case["patch"],
            pos_input_size=1, embed_pos=True, loss_weight=1.0,
        )
        for name, bands in case["images"].items()
    ]  # fmt: skip
    counts = dict.fromkeys(case["images"], side**2)
    if case["sed"]:
        parts.append(
            ModalityConfig(
                name="sed", input_size=1, patch_size=1, pos_input_size=1, embed_pos=True, loss_weight=1.0
            )
        )
        counts["sed"] = case["sed"]
    settings = {
        "n_layer": case["depth"], "n_head": case["heads"], "n_embd": case["width"], "block_size": 1024,
        "bias": False, "dropout": 0.0, "tokeniser": "aim", "modalities": parts,
    }  # fmt: skip
    torch.manual_seed(0)
    registry = ModalityRegistry(parts)
    model = GPT(GPTConfig(**settings), registry, master_process=False)
    inputs = {p.name: torch.randn(case["batch"], counts[p.name], p.input_size) for p in parts}
    inputs |= {
        f"{n}_positions": torch.arange(c).expand(case["batch"], -1).contiguous() for n, c in counts.items()
    }
    targets = dict(inputs)
    if len(parts) > 1:  # its chain is alphabetical, and of several modalities the first is predicted short
        first = min(p.name for p in parts)
        targets[first] = targets[first][:, 1:]
    return model, inputs, targets


def main() -> None:
    asked = json.loads(sys.argv[1])
    torch.set_num_threads(asked["threads"])
    case = CASES[asked["case"]]
    model, inputs, targets = build(case)
    low = asked["precision"] == "bf16"
    context = torch.autocast("cpu", dtype=torch.bfloat16) if low else nullcontext()
    run = torch.compile(model) if asked["compile"] else model
    count = sum(p.numel() for p in model.parameters())
    if asked["what"] == "train":
        optimiser = model.configure_optimizers(0.1, 6e-4, (0.9, 0.95), "cpu")

        def step() -> None:
            with context:
                _, loss = run(inputs, targets)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
    else:
        model.eval()
        embed = model.generate_embeddings
        if asked["compile"]:
            model.get_embeddings = torch.compile(model.get_embeddings)

        @torch.no_grad()
        def step() -> None:
            with context:
                embed(inputs, reduction="mean")

    result = measure(step, case["batch"], asked["cap"], warm=asked["compile"])
    if not asked["compile"] and not low:
        result["flops"] = flops_of(step)
    answer({**result, "parameters": count, "tokens": tokens_of(case)})


if __name__ == "__main__":
    main()
