"""The report: whole from whole inputs, and honest about whatever is missing."""

import json
import re
import shutil
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fake import draw_galaxies, efficiency_records, make_folder

import euclidfm.report.sections.embedding_map as embedding_map
from euclidfm.core.errors import InputError
from euclidfm.discover import project_pca, screened
from euclidfm.report import ReportInputs, build_report
from euclidfm.report.build import REPRODUCTION
from euclidfm.report.records import tasks_of
from euclidfm.report.sections.science_table import verdict
from euclidfm.report.sheets.stamps import composite, contact_sheet, grey, heat_map, pictures

SECTIONS = [
    *("summary", "science", "efficiency", "photoz", "star", "training"),
    *("map", "neighbours", "purity", "outliers", "real", "provenance"),
]

OF_STUDIES = {"claims", "modality", "densities", "transfer", "real_seds"}
"""What a reproduction has and a demo has not."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_folder(tmp_path_factory.mktemp("demo"), n=240, size=24)


@pytest.fixture(autouse=True)
def quick_map(monkeypatch):
    monkeypatch.setattr(embedding_map, "project_map", lambda emb, seed: project_pca(emb))


@pytest.fixture
def blank_figures(monkeypatch):
    """Figures are put together but not drawn: drawing is most of the time."""
    from matplotlib.figure import Figure

    def savefig(self, out, **_):
        out.write('<svg viewBox="0 0 1 1"></svg>')

    monkeypatch.setattr(Figure, "savefig", savefig)


def build(inputs: ReportInputs, out: Path) -> tuple[str, dict]:
    build_report(inputs, out / "report.html", out / "report.json")
    text = (out / "report.json").read_text()

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return (out / "report.html").read_text(), json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory) -> tuple[str, dict]:
    """The page and the numbers of a report that lacks nothing."""
    out = tmp_path_factory.mktemp("whole")
    inputs = ReportInputs.of_folder(
        folder, title="A & B", timings={"simulate": 12.5, "pretrain": 200.0}, seed=7
    )
    assert all(getattr(inputs, f.name) is not None for f in fields(inputs) if f.name not in OF_STUDIES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding_map, "project_map", lambda emb, seed: project_pca(emb))
        first = build(inputs, out)
        assert build(inputs, out) == first, "two reports from the same inputs differ"
    return first


def test_a_whole_report(whole):
    page, numbers = whole
    assert list(numbers["sections"]) == SECTIONS
    for key in SECTIONS:
        assert f'<section id="{key}">' in page and f'href="#{key}"' in page
        assert "absent" not in numbers["sections"][key], key
    assert '<p class="absent">' not in page
    assert "<title>A &amp; B</title>" in page
    assert numbers["sections"]["summary"]["seed"] == 7
    assert numbers["sections"]["photoz"]["which"] == "test split"
    assert 0.02 < numbers["sections"]["photoz"]["metrics"]["nmad"]["value"] < 0.08
    assert len(numbers["sections"]["real"]["galaxies"]) == 2
    assert "3 min 32 s" in page
    assert page.count("<svg") == 5 + 2  # efficiency, photo-z, training, map, ratings and two SEDs


def test_the_page_needs_no_network(whole):
    page, _ = whole
    visible = re.sub(r'"data:image/[^"]*"', '""', page)
    visible = re.sub(r'xmlns(:xlink)?="[^"]*"', "", visible)
    assert not re.findall(r"""(?:src|href|url|@import)\s*[=(]?\s*["'(]?\s*(?:https?:)?//[^"')]*""", visible)
    assert "<script" not in page and "<link" not in page
    ids = re.findall(r' id="([^"]+)"', page)
    doubles = {i for i in ids if ids.count(i) > 1}
    assert not doubles


_ALWAYS = ("title", "seed", "versions", "timings", "surprise")


@pytest.mark.parametrize("name", [f.name for f in fields(ReportInputs) if f.name not in _ALWAYS])
def test_any_part_may_be_missing(folder, tmp_path, blank_figures, name):
    inputs = ReportInputs.of_folder(folder)
    page, numbers = build(replace(inputs, **{name: None}), tmp_path)
    assert list(numbers["sections"]) == SECTIONS
    hit = {
        "store": {"photoz", "neighbours"},
        "embeddings": {"map", "neighbours"},
        "run": {"training"},
        "efficiency": {"science", "efficiency"},
        "predictions": {"photoz"},
        "star": {"star"},
        "search": {"purity"},
        "outliers": {"outliers"},
        "real_store": {"real"},
    }.get(name, set())
    assert {k for k, v in numbers["sections"].items() if "absent" in v} == hit
    assert page.count('<p class="absent">') >= len(hit)


def test_nothing_at_all_and_a_wrong_path(tmp_path):
    page, numbers = build(ReportInputs(versions={}, store=tmp_path / "nowhere"), tmp_path)
    assert sum("absent" in v for v in numbers["sections"].values()) == 10
    assert "<h1>euclidfm report</h1>" in page


def test_damaged_inputs_cost_their_section_only(folder, tmp_path, blank_figures):
    shutil.copytree(folder, tmp_path / "demo")
    (tmp_path / "demo" / "science" / "efficiency.json").write_text("[{")
    (tmp_path / "demo" / "outliers.parquet").write_bytes(b"PAR1")
    (tmp_path / "demo" / "science" / "search.json").write_text('{"a": 1}')
    (tmp_path / "demo" / "run" / "log.csv").write_text("step,loss\n1,abc\n")
    _, numbers = build(ReportInputs.of_folder(tmp_path / "demo"), tmp_path)
    sections = numbers["sections"]
    assert "not valid JSON" in sections["science"]["absent"]
    assert "not a readable Parquet" in sections["outliers"]["absent"]
    assert "does not hold records" in sections["purity"]["absent"]
    assert "not a number" in sections["training"]["absent"]
    assert "absent" not in sections["photoz"]


def test_the_map_falls_back_and_says_so(folder, tmp_path, monkeypatch, blank_figures):
    def no_umap(emb, seed):
        raise InputError("the map needs umap-learn; install it with `pip install euclidfm[science]`")

    monkeypatch.setattr(embedding_map, "project_map", no_umap)
    page, numbers = build(ReportInputs.of_folder(folder), tmp_path)
    assert numbers["sections"]["map"]["method"] == "PCA"
    assert "UMAP could not be used: the map needs umap-learn" in page


def test_a_store_without_images(folder, tmp_path, blank_figures):
    from euclidfm.store import GalaxyStore, StoreInfo, StoreWriter

    old = GalaxyStore.open(folder / "store")
    galaxies = replace(old.read(bands=()), images={}, masks={}, noise={})
    info = StoreInfo(sed_bands=old.info.sed_bands, columns=old.info.columns)
    with StoreWriter(tmp_path / "store", info) as writer:
        writer.add(galaxies)
    inputs = replace(ReportInputs.of_folder(folder), store=tmp_path / "store", real_store=tmp_path / "store")
    _, numbers = build(inputs, tmp_path)
    assert "no images" in numbers["sections"]["neighbours"]["absent"]
    assert "absent" not in numbers["sections"]["real"]


def test_surprise_and_artefact_probability_are_shown(folder, tmp_path, blank_figures):
    scores = pq.read_table(folder / "outliers.parquet")
    table = screened(scores, np.full(scores.num_rows, 0.25))
    pq.write_table(table, tmp_path / "screened.parquet")
    first = int(table.sort_by("rank")["object_id"][0].as_py())
    inputs = replace(
        ReportInputs.of_folder(folder),
        surprise={first: np.arange(16.0)},
        outliers=tmp_path / "screened.parquet",
    )
    page, numbers = build(inputs, tmp_path)
    assert page.count("<figcaption>surprisal</figcaption>") == 1 and "artefact 0.25" in page
    assert numbers["sections"]["outliers"]["methods"] == ["isolation_forest", "lof", "knn"]


def test_verdicts_are_honest():
    tasks = {t.name: t for t in tasks_of(efficiency_records())}
    assert tasks["photoz"].metric == "nmad" and tasks["morphology"].higher
    text = verdict(tasks["photoz"])
    assert "better than the supervised CNN" in text
    assert "At 1% of the labels (20 objects)" in text and "At 100% of the labels" in text
    base = {"task": "photoz", "fraction": 1.0, "n_train": 10, "n_test": 10, "seed": 0, "metric": "nmad"}
    ours = base | {"method": "probe", "inputs": "VIS", "value": 0.10, "low": 0.09, "high": 0.11}
    same = base | {"method": "cnn", "inputs": "VIS", "value": 0.105, "low": 0.095, "high": 0.12}
    better = base | {"method": "booster", "inputs": "photometry", "value": 0.05, "low": 0.04, "high": 0.06}
    text = verdict(tasks_of([ours, same, better])[0])
    assert "not distinguishable (the intervals overlap) from the supervised CNN" in text
    assert "worse than the best on raw photometry alone" in text


def test_intervals_grow_with_the_scatter_between_seeds():
    base = {"task": "mass", "method": "probe", "inputs": "SED", "fraction": 0.1, "metric": "nmad"}
    records = [
        base | {"seed": s, "value": v, "low": v - 0.03, "high": v + 0.03} for s, v in ((0, 0.2), (1, 0.28))
    ]
    point = tasks_of(records)[0].series[0].points[0]
    assert point.value == pytest.approx(0.24) and point.seeds == 2
    assert point.high - point.value == pytest.approx(np.hypot(0.03, 0.08 / np.sqrt(2)))


def test_stamps(tmp_path):
    galaxies = draw_galaxies(12, 24)
    mask = np.zeros((24, 24), bool)
    mask[:4] = True
    faint = grey(galaxies.images["VIS"][1], mask, 0.0021)
    assert faint.shape == (24, 24, 3) and faint.dtype == np.uint8
    assert set(np.unique(faint[:4])) == {96, 150}  # hatched, not black
    assert faint[4:].max() > 240 and faint[4:].min() < 40
    assert grey(np.zeros((8, 8)), np.ones((8, 8), bool)).shape == (8, 8, 3)
    assert list(pictures(galaxies, 0)) == ["VIS", "J", "H"]  # no Y image, so no colour
    assert list(pictures(galaxies, 1)) == ["VIS", "Y", "J", "H", "colour"]
    red = {"VIS": np.full((8, 8), 0.1), "Y": np.full((8, 8), 0.5), "H": np.full((8, 8), 2.0)}
    clear = {b: np.zeros((8, 8), bool) for b in red}
    picture = composite(red, clear, dict.fromkeys(red, 0.01))
    assert picture is not None
    r, g, b = picture[4, 4].astype(int)
    assert r > g > b
    hot = heat_map(np.zeros((24, 24, 3), np.uint8), np.eye(4).ravel())
    assert hot[0, 0, 0] > 150 and hot[0, 23, 0] == 0
    contact_sheet(galaxies, [str(i) for i in galaxies.object_id], tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 10_000


def record(task: str, metric: str, value: float, **more) -> dict:
    base = {"task": task, "method": "probe", "inputs": "VIS+NISP", "fraction": 1.0, "seed": 0, "n_test": 9}
    return base | {"metric": metric, "value": value, "low": value - 0.01, "high": value + 0.01} | more


def test_the_studies_of_a_reproduction(tmp_path):
    claim = {"text": "It holds.", "measure": "m < l", "value": 0.1, "low": 0.05, "high": 0.15, "limit": 0.2}
    claim["repeats"] = 5
    files = {
        "claims": [claim | {"key": "c", "ask": "below", "tolerance": 0.0, "verdict": "reproduced"}],
        "modality": [record("star", "average_precision", 0.812, model="one checkpoint")],
        "densities": [record("photoz", "coverage_68", 0.683), record("photoz", "pit_ks", 0.017)],
        "transfer": [
            record(t, "nmad", 0.2, target=where, method=how)
            for t in ("photoz", "mass") for where in ("q1-like", "faint") for how in ("as it is", "dimmed")
        ],
        "real_seds": [record("photoz", "nmad", 0.0221, catalogue="zcosmos", fraction=f) for f in (0.1, 1.0)],
        "efficiency": [
            record(t, "nmad", v, method=m, inputs=i, fraction=f)
            for t in ("photoz", "mass") for f, v in ((0.1, 0.09), (1.0, 0.05))
            for m, i in (("probe", "VIS"), ("probe", "VIS+NISP+SED"), ("cnn", "VIS"), ("booster", "SED"))
        ],
    }  # fmt: skip
    for name, records in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(records))
    inputs = ReportInputs(title="claims", **{n: tmp_path / f"{n}.json" for n in files})
    build_report(inputs, tmp_path / "r.html", tmp_path / "r.json", parts=REPRODUCTION)
    page, numbers = (
        (tmp_path / "r.html").read_text(),
        json.loads((tmp_path / "r.json").read_text())["sections"],
    )
    for key in ("claims", "panels", "modality", "densities", "transfer", "real-seds", "science"):
        assert "absent" not in numbers[key], key
    assert "m &lt; l" in page and 'class="reproduced"' in page and "0.812" in page and "0.0221" in page
    assert "absent" in numbers["outliers"]  # what is not there is named
