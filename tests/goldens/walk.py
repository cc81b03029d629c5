"""Walk a tiny sky through the whole chain and write down what must not change.

    python tests/goldens/walk.py FOLDER VALUES.json

Every value is a short hash of exact bytes, so equal means equal bit for bit. Floating-point sums differ from
machine to machine: compare only values that were written on the same one (`machine`).
"""

from __future__ import annotations

import csv
import hashlib
import json
import platform
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TINY = ["--model.width=32", "--model.depth=2", "--model.heads=2", "--model.crop=32", "--precision=fp32"]
STEPS = ["--steps=30", "--batch=16", "--validate_every=10", "--seed=5"]
RUNS = {
    "likelihood": ["--model.objective=likelihood", "--random_order=patches"],
    "huber": ["--optimizer=muon", "--ema=0.9", "--accumulate=2"],
    "mixture": [
        "--model.objective=likelihood", "--model.likelihood=mixture", "--model.positions=rotary",
        "--model.scalars=[fwhm]",
    ],
    "masked": ["--model.objective=likelihood", "--model.predict=masked"],
    "prefix": ["--model.attention=prefix", "--schedule=wsd"],
    "peer": ["--preset=astropt-5m", "--model.embed_layer=2"],
}  # fmt: skip
"""One run for each way in which the model can be built and read."""


def machine() -> dict[str, str]:
    """What floating-point results depend on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    cpu = {k: next((x for x in lines if x.startswith(k)), "") for k in ("model name", "flags")}
    kept = {"cpu": cpu["model name"].partition(":")[2].strip(), "flags": _hash(cpu["flags"].encode())}
    names = ("torch", "numpy", "scipy", "scikit-learn", "pyarrow", "lightgbm", "astropy", "speclite")
    return {**kept, "python": platform.python_version(), **{n: metadata.version(n) for n in names}}


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def digest(values: object) -> str:
    """Short hash of an array, an Arrow column, or anything that JSON knows."""
    if isinstance(values, pa.ChunkedArray):
        values = values.to_pylist()
    if isinstance(values, np.ndarray) and values.dtype != object:
        return _hash(f"{values.dtype} {values.shape} ".encode() + np.ascontiguousarray(values).tobytes())
    return _hash(json.dumps(values, default=lambda v: v.hex() if isinstance(v, bytes) else repr(v)).encode())


def table(path: Path) -> dict[str, str]:
    """Hash of each column of a Parquet file."""
    read = pq.read_table(path)
    return {name: digest(read.column(name)) for name in sorted(read.column_names)}


def weights(folder: Path) -> str:
    """Hash of a model's weights, whatever their names."""
    from safetensors.numpy import load_file

    return digest(sorted(digest(v) for v in load_file(folder / "model.safetensors").values()))


def losses(path: Path) -> list[dict[str, str]]:
    """Losses as they were written, in full precision."""
    with path.open(newline="") as f:
        rows = list(csv.DictReader(f))
    return [{k: v for k, v in row.items() if "loss" in k or k in ("step", "lr")} for row in rows]


def records(path: Path) -> str:
    """Hash of long-form results, in a fixed order."""
    rows = json.loads(path.read_text())
    return digest(sorted(json.dumps(r, sort_keys=True) for r in rows) if isinstance(rows, list) else rows)


def run(*argv: object) -> None:
    """Run a verb, which must end well."""
    from euclidfm.cli import main

    code = main([str(a) for a in argv])
    if code:
        msg = f"euclidfm {' '.join(map(str, argv))} ended with {code}"
        raise SystemExit(msg)


def shards(store: Path) -> dict[str, str]:
    """Hash of each column of a store."""
    files = sorted(store.rglob("*.parquet"))
    read = pa.concat_tables([pq.read_table(f) for f in files], promote_options="default")
    return {name: digest(read.column(name)) for name in sorted(read.column_names)}


def peer_checkpoint(path: Path) -> Path:
    """A small checkpoint of the peer's second version, made by hand; its classes vanish before it is read."""
    import types

    import torch

    rng = np.random.default_rng(3)
    d, size = 16, 3 * 16**2

    def random(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(0, 0.05, shape).astype(np.float32))

    state = {"transformer.ln_f.weight": torch.ones(d)}
    for i in range(2):
        h = f"transformer.h.{i}."
        state |= {h + "ln_1.weight": torch.ones(d), h + "ln_2.weight": torch.ones(d)}
        state |= {h + "attn.c_attn.weight": random(3 * d, d), h + "attn.c_proj.weight": random(d, d)}
        state |= {h + "mlp.c_fc.weight": random(4 * d, d), h + "mlp.c_proj.weight": random(d, 4 * d)}
    state["transformer.wte.images.c_fc.weight"] = random(4 * d, size)
    state["transformer.wte.images.c_proj.weight"] = random(d, 4 * d)
    state["transformer.wpe.images.wpe.weight"] = random(20, d)
    state["lm_head.images.c_fc.weight"] = random(4 * d, d)
    state["lm_head.images.c_proj.weight"] = random(size, 4 * d)
    module = types.ModuleType("astropt.model")
    for name in ("ModalityConfig", "ModalityRegistry"):
        setattr(module, name, type(name, (), {"__module__": "astropt.model"}))
    registry, images = module.ModalityRegistry(), module.ModalityConfig()
    images.__dict__ |= {"name": "images", "input_size": size, "patch_size": 16, "embed_pos": True}
    images.__dict__ |= {"pos_input_size": 1, "loss_weight": 1.0}
    registry.modalities = {"images": images}
    arguments = {"n_layer": 2, "n_head": 2, "n_embd": d, "block_size": 20}
    sys.modules |= {"astropt": types.ModuleType("astropt"), "astropt.model": module}
    try:
        torch.save({"model": state, "model_args": arguments, "modality_registry": registry}, path)
    finally:
        del sys.modules["astropt"], sys.modules["astropt.model"]
    return path


def walk(folder: Path) -> dict[str, object]:
    """All values, by stage."""
    out: dict[str, object] = {}
    sky, store = folder / "sky", folder / "store"
    run(
        "simulate",
        "--objects=400",
        "--tiles=1",
        "--seed=3",
        "--processes=1",
        "--rarity_boost=1",
        "--out",
        sky,
    )
    out["sky"] = table(sky / "truth.parquet")
    run(
        "ingest", sky, "--out", store, "--size=32", "--selection=everything-detected", "--split_order=12",
        "--split_fractions=[0.6,0.15,0.25]", "--release=mock", "--workers=1",
    )  # fmt: skip
    out["store"] = shards(store)
    for name, options in RUNS.items():
        peer = name == "peer"
        run("pretrain", store, "--out", folder / name, *TINY, *STEPS, *options)
        run("embed", folder / name, store, "--out", folder / f"{name}.parquet")
        out[f"pretrain {name}"] = {
            "losses": losses(folder / name / "log.csv"),
            "weights": weights(folder / name),
        }
        out[f"embed {name}"] = table(folder / f"{name}.parquet")
        if not peer:
            run(
                "generate", folder / name, store, "--from", "vis", "--to", "nisp", "sed", "--out",
                folder / f"made-{name}", "--limit=6", f"--temperature={int('likelihood' in str(options))}",
            )  # fmt: skip
            out[f"generate {name}"] = shards(folder / f"made-{name}" / "store")
    model, emb = folder / "likelihood", folder / "likelihood.parquet"
    turned = folder / "turned.parquet"
    run("embed", model, store, "--out", turned, "--symmetries=8")
    run("embed", model, store, "--out", folder / "alone.parquet", "--modalities=[VIS]", "--layer=1")
    out["embed turned"], out["embed alone"] = table(turned), table(folder / "alone.parquet")
    for task, head in (
        ("photoz", "auto"), ("photoz", "linear"), ("mass", "mlp"), ("mass", "knn"), ("star", "linear"),
        ("classification:kind", "auto"), ("regression:mag_vis", "linear"),
    ):  # fmt: skip
        probe = folder / f"probe-{task.replace(':', '-')}-{head}"
        more = ["--density=true"] if (task, head) == ("photoz", "auto") else []
        run("probe", emb, "--store", store, f"--task={task}", f"--head={head}", "--out", probe, *more)
        out[f"probe {task} {head}"] = {
            "predictions": table(probe / "predictions.parquet"),
            "metrics": records(probe / "metrics.json"),
            "bins": records(probe / "bins.json"),
        }
        if more:
            out["p(z)"] = table(probe / "pz.parquet") | {"metrics": records(probe / "pz_metrics.json")}
    run(
        "predict",
        model,
        store,
        folder / "probe-photoz-auto",
        "--out",
        folder / "catalogue.parquet",
        "--pdf=true",
    )
    out["predict"] = table(folder / "catalogue.parquet")
    for adapt in ("full", "lora"):
        tuned = folder / f"tuned-{adapt}"
        run("finetune", model, store, "--task=photoz", f"--adapt={adapt}", "--max_steps=20", "--out", tuned)
        out[f"finetune {adapt}"] = table(tuned / "predictions.parquet") | {"weights": weights(tuned)}
    run("outliers", emb, "--out", folder / "odd.parquet", "--store", store, "--run", model)
    run("outliers", turned, "--out", folder / "odd-shape.parquet", "--space=shape")
    out["outliers"], out["outliers shape"] = (
        table(folder / "odd.parquet"),
        table(folder / "odd-shape.parquet"),
    )
    ids = pq.read_table(emb).column("object_id").to_pylist()
    shown = pq.read_table(turned).column("space_shape").to_pylist()
    seen = next(i for i, v in zip(ids, shown, strict=True) if v is not None and np.isfinite(v).all())
    for name, options in {
        "joint": [emb, f"--like=[{ids[0]},{ids[3]}]", f"--unlike=[{ids[5]}]"],
        "shape": [turned, f"--like=[{seen}]"],
    }.items():
        run("search", *options, "--k=20", "--out", folder / f"like-{name}.parquet")
        out[f"search {name}"] = table(folder / f"like-{name}.parquet")
    run("import-astropt", peer_checkpoint(folder / "peer.pt"), "--out", folder / "imported", "--crop=32",
        "--bands={images: [Y, J, H]}")  # fmt: skip
    run("embed", folder / "imported", store, "--out", folder / "imported.parquet")
    out["import-astropt"] = table(folder / "imported.parquet") | {"weights": weights(folder / "imported")}
    out |= studies(folder, store, model)
    return out


def studies(folder: Path, store: Path, model: Path) -> dict[str, object]:
    """The studies of `demo` and `reproduce`, very small."""
    demo = folder / "demo"
    run(
        "demo", "--out", demo, "--objects=240", "--tiles=2", "--steps=30", "--batch=16", "--width=32",
        "--depth=2", "--fractions=[0.5,1.0]", "--repeats=1", "--processes=1",
    )  # fmt: skip
    names = ("efficiency", "star", "surprise", "search", "outliers", "active")
    out: dict[str, object] = {f"demo {n}": records(demo / "science" / f"{n}.json") for n in names}
    out["demo scores"] = table(demo / "outliers.parquet")
    from euclidfm.workflow.reproduce import reproduce
    from euclidfm.workflow.scales import ReproduceConfig

    tiny = ReproduceConfig(
        scale="tiny", galaxies=260, rarity_boost=1.0, vis_patch=16, width=32, depth=2, steps=20, batch=16,
        separate_steps=10, fractions=(0.5, 1.0), repeats=1, cnn_size=16, other_galaxies=140, processes=1,
    )  # fmt: skip
    reproduce(tiny, folder / "reproduction")
    science = folder / "reproduction" / "science"
    names = ("baselines", "probes", "modality", "transfer", "search", "outliers", "active")
    out |= {f"reproduce {n}": records(science / f"{n}.json") for n in names}
    out["reproduce claims"] = records(folder / "reproduction" / "claims.json")
    return out


if __name__ == "__main__":
    work, target = Path(sys.argv[1]), Path(sys.argv[2])
    work.mkdir(parents=True, exist_ok=True)
    target.write_text(
        json.dumps({"machine": machine(), "values": walk(work)}, indent=1, sort_keys=True) + "\n"
    )
