"""Comparison of recipes, sizes, numbers of galaxies, layers and number formats by linear probes.

python benchmarks/recipes.py recipes STORE --out FOLDER   # ours and the peer's, three seeds
python benchmarks/recipes.py scaling STORE --out FOLDER   # three sizes, three numbers of galaxies
python benchmarks/recipes.py layers STORE --out FOLDER --run RUN ...  # embeddings after each block
python benchmarks/recipes.py precisions STORE --out FOLDER --run RUN ...  # embeddings in each number format

STORE is a mock sky with its truth (`euclidfm reproduce --scale standard` makes one). Probes learn from
training galaxies and are evaluated on validation galaxies. No test galaxy is embedded. A second call
continues one that was stopped. FOLDER gets a JSON file, a table in Markdown and, for scaling, a figure.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from euclidfm import tasks
from euclidfm.core.files import read_json, write_json, write_text
from euclidfm.core.progress import bar
from euclidfm.embeddings import EmbeddingTable, embed
from euclidfm.model import FoundationModel, ImageModality, ModelConfig
from euclidfm.pretrain import PretrainConfig
from euclidfm.pretrain.presets import preset
from euclidfm.store import GalaxyStore
from euclidfm.workflow.steps import train

JUDGED = {
    "photoz": ("nmad", "photo-z NMAD"),
    "mass": ("nmad", "log M* NMAD, dex"),
    "morphology": ("auc", "smooth / featured AUC"),
    "star": ("average_precision", "star average precision"),
}
LOWER_IS_BETTER = ("photoz", "mass")
IMAGES = (
    ImageModality(name="VIS", bands=("VIS",), patch=8),
    ImageModality(name="NISP", bands=("Y", "J", "H"), patch=16),
)
SIZES = {"0.2M": (64, 3), "0.8M": (128, 4), "1.6M": (160, 5)}
"""Width and depth, by the parameters of the blocks."""
AS_LARGE = (160, 6)
"""Width and depth of ours with about as many parameters in all as the peer's, whose readers are wide."""
AMOUNTS = (800, 3200, 0)
"""Training galaxies; 0 = all."""
LABELLED, JUDGED_ON = 5000, 4000
"""Largest numbers of training and validation galaxies that are embedded."""


def ours(size: tuple[int, int], steps: int, batch: int, seed: int, galaxies: int = 0) -> PretrainConfig:
    """Every choice as we ship it."""
    width, depth = size
    model = ModelConfig(images=IMAGES, crop=64, width=width, depth=depth, heads=width // 32)
    return PretrainConfig(model=model, steps=steps, batch=batch, seed=seed, galaxies=galaxies)


def peers(size: tuple[int, int], steps: int, batch: int, seed: int) -> PretrainConfig:
    """The peer's architecture, scaling and recipe on the same tokens."""
    width, depth = size
    settings = preset("astropt-5m")
    model = settings.pop("model") | {
        "images": [asdict(i) for i in IMAGES], "crop": 64,
        "width": width, "depth": depth, "heads": width // 32, "embed_layer": depth // 2 + 1,
    }  # fmt: skip
    return PretrainConfig(model=ModelConfig.from_dict(model), steps=steps, batch=batch, seed=seed, **settings)


def rows_of(store: GalaxyStore) -> np.ndarray:
    """Rows to embed: some training and validation galaxies, the same for all models."""
    rng = np.random.default_rng(0)
    wanted = (("train", LABELLED), ("validation", JUDGED_ON))
    parts = [rng.permutation(store.rows(s))[:n] for s, n in wanted]
    return np.sort(np.concatenate(parts))


def embedded(
    model: FoundationModel, store: GalaxyStore, layer: int | None = None, precision: str = "fp32"
) -> EmbeddingTable:
    """Embeddings of the galaxies that probes learn from, and of those that they are evaluated on."""
    with bar(f"embed, layer {layer or model.config.layer}, {precision}") as progress:
        return embed(model, store, rows=rows_of(store), layer=layer, precision=precision, progress=progress)


def judge(model: FoundationModel, store: GalaxyStore, layer: int | None, seed: int) -> list[dict]:
    """Linear probes of each task on the embeddings, with 68% intervals over the validation galaxies."""
    return probes(embedded(model, store, layer), store, seed)


def probes(emb: EmbeddingTable, store: GalaxyStore, seed: int) -> list[dict]:
    """Headline metric of each task. The validation galaxies take the place of the test split."""
    names = np.where(emb.split == "validation", "test", emb.split)
    emb = replace(emb, split=names)
    labels = store.index.drop_columns(
        ["is_star"]
    )  # the truth (`kind`) for all objects, not for spectra alone
    out = []
    for name, (metric, _) in JUDGED.items():
        task = tasks.get(name)
        found = task.fit(emb, labels, head="linear", seed=seed).evaluate(emb, labels)
        out.append(next(r for r in found if r["metric"] == metric))
    return out


def trained(settings: PretrainConfig, store: Path, folder: Path) -> FoundationModel:
    """Pre-train, or take what is there."""
    train(settings, store, folder, folder.name)
    return FoundationModel.load(folder)


def last_loss(folder: Path) -> dict[str, float]:
    """Validation loss at the end, in all and by modality."""
    with (folder / "log.csv").open() as f:
        row = [r for r in csv.DictReader(f) if r["val_loss"]][-1]
    return {k: float(v) for k, v in row.items() if k.startswith("val") and v}


def measured(
    name: str, settings: PretrainConfig, store: GalaxyStore, out: Path, **identity: Any
) -> list[dict]:
    """Records of one pre-training; kept in its folder, so that a study continues."""
    kept = out / f"{name}-validation.json"
    if not kept.exists():
        model = trained(settings, store.path, out / name)
        common = {
            **identity, "run": name, "seed": settings.seed, "parameters": model.parameter_count(),
            "galaxies": settings.galaxies or len(store.rows("train")), "steps": settings.steps,
            "batch": settings.batch, **last_loss(out / name),
        }  # fmt: skip
        write_json(kept, [{**r, **common} for r in judge(model, store, None, settings.seed)])
    return read_json(kept)


ENTRANTS = {
    "ours": ("ours, the same blocks", ours, SIZES["0.8M"], "ours-0.8M-all"),
    "large": ("ours, as many parameters in all", ours, AS_LARGE, "ours-large"),
    "peer": ("the peer's", peers, SIZES["0.8M"], "peer"),
}


def recipes(store: GalaxyStore, out: Path, steps: int, batch: int) -> None:
    """Ours against the peer's: same galaxies and tokens, three seeds; same blocks, or parameters in all."""
    records = []
    for seed in (0, 1, 2):
        for who, (_, make, size, name) in ENTRANTS.items():
            settings = make(size, steps, batch, seed)
            records += measured(f"{name}-{seed}", settings, store, out, recipe=who)
    write_json(out / "recipes.json", records)
    head = [said for said, *_ in ENTRANTS.values()]
    lines = [f"| | {' | '.join(head)} | better in, of 3 seeds |", "|---" * 5 + "|"]
    for task, (_, said) in JUDGED.items():
        value = {
            w: np.array([r["value"] for r in records if r["task"] == task and r["recipe"] == w])
            for w in ENTRANTS
        }
        sign = 1 if task in LOWER_IS_BETTER else -1
        ahead = [str(int((sign * (value["peer"] - value[w]) > 0).sum())) for w in ("ours", "large")]
        cells = [f"{v.mean():.4f} ± {v.std(ddof=1):.4f}" for v in value.values()]
        lines.append(f"| {said} | {' | '.join(cells)} | {' and '.join(ahead)} |")
    counts = [next(r["parameters"] for r in records if r["recipe"] == w) for w in ENTRANTS]
    lines.append(f"| parameters | {' | '.join(f'{n:,}' for n in counts)} | |")
    write_text(out / "recipes.md", "\n".join(lines) + "\n")


def scaling(store: GalaxyStore, out: Path, steps: int, batch: int) -> None:
    """More parameters, more galaxies; the same number of steps."""
    records = []
    for size in SIZES:
        for amount in AMOUNTS:
            name = f"ours-{size}-{amount or 'all'}-0"
            settings = ours(SIZES[size], steps, batch, 0, amount)
            found = measured(name, settings, store, out, recipe="ours")
            records += [{**r, "size": size} for r in found]  # one of them may come from `recipes`
    write_json(out / "scaling.json", records)
    head = " | ".join(said for _, said in JUDGED.values())
    lines = [
        f"| blocks | galaxies | parameters | validation loss | {head} |",
        "|---" * (4 + len(JUDGED)) + "|",
    ]
    for run in dict.fromkeys(r["run"] for r in records):
        own = {r["task"]: r for r in records if r["run"] == run}
        r = next(iter(own.values()))
        values = " | ".join(f"{own[t]['value']:.4f}" for t in JUDGED)
        lines.append(
            f"| {r['size']} | {r['galaxies']:,} | {r['parameters']:,} | {r['val_loss']:.4f} | {values} |"
        )
    write_text(out / "scaling.md", "\n".join(lines) + "\n")
    draw(records, out / "scaling.png")


def draw(records: list[dict], path: Path) -> None:
    """Loss and probe quality against the number of galaxies, a line a size."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 1 + len(JUDGED), figsize=(16, 3.4), layout="constrained")
    for size, colour in zip(SIZES, ("#9ecae1", "#4292c6", "#08306b"), strict=True):
        for ax, task in zip(axes, [None, *JUDGED], strict=True):
            own = [r for r in records if r["size"] == size and r["task"] == (task or "photoz")]
            own.sort(key=lambda r: r["galaxies"])
            x, key = [r["galaxies"] for r in own], "value" if task else "val_loss"
            ax.plot(x, [r[key] for r in own], "o-", color=colour, label=size, lw=1.8)
            if task:
                ax.fill_between(
                    x, [r["low"] for r in own], [r["high"] for r in own], color=colour, alpha=0.15
                )
            ax.set(
                xscale="log", xlabel="training galaxies", title=JUDGED[task][1] if task else "validation loss"
            )
            ax.set_xticks(x, [f"{n:,}" for n in x])
            ax.minorticks_off()
            ax.grid(alpha=0.25)
    axes[0].legend(title="blocks", frameon=False)
    figure.savefig(path, dpi=110)


def layers(store: GalaxyStore, out: Path, runs: Sequence[Path]) -> None:
    """Probes on the embeddings after each block; the default layer is chosen by them."""
    records = []
    for run in runs:
        model = FoundationModel.load(run)
        for layer in range(1, model.config.depth + 1):
            kept = out / f"layers-{run.name}-{layer}.json"
            if not kept.exists():
                found = judge(model, store, layer, 0)
                same = {"run": run.name, "layer": layer, "depth": model.config.depth}
                write_json(kept, [{**r, **same} for r in found])
            records += read_json(kept)
    write_json(out / "layers.json", records)
    lines = [
        f"| run | block | {' | '.join(s for _, s in JUDGED.values())} |",
        "|---" * (2 + len(JUDGED)) + "|",
    ]
    for run, layer in dict.fromkeys((r["run"], r["layer"]) for r in records):
        own = {r["task"]: r["value"] for r in records if (r["run"], r["layer"]) == (run, layer)}
        lines.append(f"| {run} | {layer} | {' | '.join(f'{own[t]:.4f}' for t in JUDGED)} |")
    write_text(out / "layers.md", "\n".join(lines) + "\n")


def precisions(store: GalaxyStore, out: Path, runs: Sequence[Path]) -> None:
    """Effect of the number format of `embed`: distance from float32, and probes."""
    records = []
    for run in runs:
        kept = out / f"precisions-{run.name}-validation.json"
        if not kept.exists():
            model, found = FoundationModel.load(run), []
            exact = embedded(model, store)
            spread = np.linalg.norm(exact.vectors - exact.vectors.mean(0), axis=1)
            for name in ("fp32", "bf16"):
                emb = exact if name == "fp32" else embedded(model, store, precision=name)
                off = float(np.median(np.linalg.norm(emb.vectors - exact.vectors, axis=1) / spread))
                same = {"run": run.name, "precision": name, "off": off}
                found += [{**r, **same} for r in probes(emb, store, 0)]
            write_json(kept, found)
        records += read_json(kept)
    write_json(out / "precisions.json", records)
    head = " | ".join(said for _, said in JUDGED.values())
    lines = [f"| run | precision | off, share of the spread | {head} |", "|---" * (3 + len(JUDGED)) + "|"]
    for run, name in dict.fromkeys((r["run"], r["precision"]) for r in records):
        own = {r["task"]: r for r in records if (r["run"], r["precision"]) == (run, name)}
        values = " | ".join(f"{own[t]['value']:.4f}" for t in JUDGED)
        lines.append(f"| {run} | {name} | {own['photoz']['off']:.2%} | {values} |")
    write_text(out / "precisions.md", "\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("recipes", "scaling", "layers", "precisions"))
    parser.add_argument("store", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--run", type=Path, nargs="+", default=[], help="runs whose embeddings are judged")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch", type=int, default=48)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    store = GalaxyStore.open(args.store)
    if args.what in ("layers", "precisions"):
        {"layers": layers, "precisions": precisions}[args.what](store, args.out, args.run)
    else:
        {"recipes": recipes, "scaling": scaling}[args.what](store, args.out, args.steps, args.batch)
    print((args.out / f"{args.what}.md").read_text())


if __name__ == "__main__":
    main()
