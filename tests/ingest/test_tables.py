"""Photometric tables and their recipes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from euclidfm.core.errors import InputError
from euclidfm.core.expressions import evaluate, names_in
from euclidfm.core.units import NANOMAGGY_UJY, luptitude_from_ujy, photometry_in_ujy
from euclidfm.ingest import IngestConfig, PhotometryRecipe, ingest
from euclidfm.store import GalaxyStore

RECIPE = """
name: own
version: 1
id: ID
ra: RA
dec: DEC
missing: [-99]
bands:
  - {band: g_ls, value: g, error: eg}
  - {band: narrow, value: n, unit: ujy, mask: bad_n}
wavelengths_nm: {narrow: 816.0}
columns:
  - {name: z_spec, column: z, where: quality > 2}
  - {name: note, column: note, role: meta, type: string}
select:
  - {name: bright, where: g < 24 or n > 1}
"""
ROWS = """ID,RA,DEC,g,eg,n,bad_n,z,quality,note
9007199254740993,150.1,2.1,20.0,0.1,3.5,0,0.5,3,a
-9007199254740995,150.2,2.2,21.0,-99,2.0,1,0.6,2,b
3,150.3,2.3,-99,-99,5.0,0,0.7,4,
4,nan,2.4,20.0,0.1,1.0,0,0.1,3,c
5,150.5,2.5,-99,-99,9.0,1,0.1,3,d
3,150.6,2.6,20.0,0.1,1.0,0,0.1,3,e
6,150.7
7,150.7,2.7,25.0,0.1,0.1,0,0.1,3,f
"""


@pytest.fixture
def table(tmp_path):
    (tmp_path / "own.yaml").write_text(RECIPE)
    (tmp_path / "table.csv").write_text(ROWS)
    return tmp_path


def run(folder, **settings):
    given = {"source": str(folder / "table.csv"), "recipe": str(folder / "own.yaml")} | settings
    summary = ingest(IngestConfig(**given), folder / "store", overwrite=True)
    return GalaxyStore.open(folder / "store"), summary


def test_a_table_becomes_a_store_and_bad_rows_are_kept_aside(table):
    store, summary = run(table)
    g = store.read()
    assert g.object_id.tolist() == [9007199254740993, -9007199254740995, 3]  # beyond float64's 53 bits
    assert g.flux[0] == pytest.approx([10 ** (0.4 * 3.9), 3.5])
    assert g.fluxerr[0, 0] == pytest.approx(g.flux[0, 0] * 0.1 * np.log(10) / 2.5)
    assert np.isnan(g.fluxerr[1, 0])
    assert np.isnan(g.flux[1, 1])  # masked
    assert np.isnan(g.flux[2, 0])  # missing
    assert g.columns["z_spec"] == pytest.approx([0.5, np.nan, 0.7], nan_ok=True)
    assert g.columns["note"].tolist() == ["a", "b", ""]
    assert store.info.image_bands == ()
    assert [b.wavelength_nm for b in store.info.sed_bands] == [477.0, 816.0]
    import pyarrow.parquet as pq

    left = pq.read_table(table / "store/quarantine.parquet").to_pylist()
    assert summary["quarantined"] == len(left) == 4
    reasons = {r["object_id"]: r["reason"] for r in left}
    assert "position" in reasons[4]
    assert "no band" in reasons[5]
    assert "earlier" in reasons[3]
    assert "line 8: 2 cells" in reasons[None]
    assert dict(summary["funnel"])["bright"] == 6


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("value: g,", "value: gg,"), "has no column 'gg'"),
        (("band: narrow", "band: unheard"), "give its wavelength in wavelengths_nm"),
        (("unit: ujy", "unit: furlong"), "known units"),
        (("id: ID\nra: RA\n", "ra: RA\n"), None),
        (("value: g,", "value: galaxysed_flux_4900_5000,"), "leaks"),
        (("g < 24 or n > 1", "g <"), "can't be read"),
        (("g < 24 or n > 1", "__import__('os')"), "not allowed"),
        (("g < 24 or n > 1", "g > 90"), "leaves no row"),
        (("column: z,", "column: note,"), "which is no number"),
        (("select:", "selekt:"), "unknown key 'selekt'"),
        (("role: meta", "rule: meta"), "unknown key 'rule'"),
    ],
)
def test_faults_of_a_recipe_are_told(table, change, told):
    (table / "own.yaml").write_text(RECIPE.replace(*change))
    if told is None:
        assert run(table)[1]["rows"] == 4  # ids from positions: two rows share id 3 no more
        return
    with pytest.raises(InputError, match=told):
        run(table)
    assert not (table / "store").exists()
    assert not list(table.glob(".store*"))


def test_float_ids_are_refused(table):
    (table / "table.csv").write_text(ROWS.replace("9007199254740993", "9.007199254740993e15"))
    with pytest.raises(InputError, match="64-bit ids"):
        run(table)


def test_magnitudes_that_are_none_are_refused(table):
    (table / "own.yaml").write_text(RECIPE.replace("value: g, error: eg", "value: RA, error: eg"))
    with pytest.raises(InputError, match="no AB magnitude"):
        run(table)


def test_without_positions_splits_go_by_id(table):
    (table / "own.yaml").write_text(RECIPE.replace("ra: RA\ndec: DEC\n", ""))
    rows = "".join(f"{i},0,0,20.0,0.1,3.5,0,0.5,3,a\n" for i in range(1000))
    (table / "table.csv").write_text(ROWS.splitlines()[0] + "\n" + rows)
    store, summary = run(table)
    assert summary["splits"]["train"] == pytest.approx(700, abs=50)
    assert summary["splits"]["test"] == pytest.approx(200, abs=40)
    assert np.isnan(store.column("ra")).all()
    (table / "table.csv").write_text(ROWS.splitlines()[0] + "\n" + "".join(rows.splitlines(True)[:500]))
    half, _ = run(table)
    assert half.column("split").tolist() == store.column("split").tolist()[:500]


@pytest.mark.parametrize("ending", ["csv", "fits", "parquet", "txt", "vot"])
def test_every_format_reads_the_same(table, ending):
    from astropy.table import Table

    t = Table({"ID": [1, 2], "RA": [1.0, 2.0], "DEC": [3.0, 4.0], "g": [20.0, 21.0], "eg": [0.1, 0.2]})
    path = table / f"t.{ending}"
    t.write(path, format={"txt": "ascii.commented_header", "vot": "votable"}.get(ending))
    (table / "own.yaml").write_text(
        "name: o\nversion: 1\nid: ID\nra: RA\ndec: DEC\nbands: [{band: g_ls, value: g, error: eg}]\n"
    )
    g = run(table, source=str(path))[0].read()
    assert g.object_id.tolist() == [1, 2]
    assert g.flux[:, 0] == pytest.approx(10 ** (0.4 * (23.9 - np.array([20.0, 21.0]))))


@given(mag=st.floats(15, 35), softening=st.floats(1e-4, 1.0))
def test_luptitudes_invert_exactly(mag, softening):
    flux, error = photometry_in_ujy(np.array([mag]), np.array([0.1]), "luptitude", softening)
    back = 23.9 - (np.arcsinh(flux / (2 * softening)) + np.log(softening)) * 2.5 / np.log(10)
    assert back[0] == pytest.approx(mag, abs=1e-9)
    assert luptitude_from_ujy(flux, softening)[0] == pytest.approx(mag, abs=1e-9)
    step = 1e-6
    slope = (
        photometry_in_ujy(np.array([mag + step]), np.array([0.1]), "luptitude", softening)[0] - flux
    ) / step
    assert error[0] == pytest.approx(0.1 * abs(slope[0]), rel=1e-3)


def test_luptitudes_tend_to_ab_and_nanomaggies_are_3_631_ujy():
    mag, error = np.array([18.0, 24.0]), np.array([0.01, 0.1])
    soft, ab = photometry_in_ujy(mag, error, "luptitude", 1e-6), photometry_in_ujy(mag, error, "abmag")
    np.testing.assert_allclose(soft, ab, rtol=1e-6)
    assert pytest.approx(3.631, rel=1e-3) == NANOMAGGY_UJY


def test_expressions():
    c = {
        "a": np.array([1.0, 2.0, np.nan]),
        "b": np.array([3.1, 13.5, 2.5]),
        "t": np.array(["x", "y", ""], object),
    }
    assert evaluate("a > 1", c).tolist() == [False, True, False]
    assert evaluate("not (a > 1)", c).tolist() == [True, False, False]
    assert evaluate("b % 10 >= 3 and 0 < a < 3", c).tolist() == [True, True, False]
    assert evaluate("t in ['x', ''] or isnan(a)", c).tolist() == [True, False, True]
    assert evaluate("-a < -1.5", c).tolist() == [False, True, False]
    assert names_in("abs(a) > b") == ("a", "b")
    with pytest.raises(InputError, match="does not have"):
        evaluate("q > 1", c)


@pytest.mark.parametrize("name", ["zcosmos", "desi-bgs", "candels-cosmos"])
def test_shipped_recipes_load(name):
    assert PhotometryRecipe.load(name).name == name


def test_an_unknown_recipe_lists_those_there_are():
    with pytest.raises(InputError, match=r"candels-cosmos, desi-bgs, .*zcosmos"):
        PhotometryRecipe.load("sdss")
