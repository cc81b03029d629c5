"""Tables as surveys and people write them: units, gaps, marks of missing values, types, forms of files."""

import decimal
import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable.tree import Field, Resource, TableElement, VOTableFile
from astropy.table import Table

from euclidfm.core.errors import InputError
from euclidfm.core.expressions import evaluate
from euclidfm.core.stated_units import factor_between, stated_unit
from euclidfm.core.tables import column_for
from euclidfm.ingest import IngestConfig, ingest
from euclidfm.ingest.catalogue.formats import read_table
from euclidfm.ingest.catalogue.spectra import join_spectroscopy
from euclidfm.ingest.sources.coordinates import read_targets
from euclidfm.store import GalaxyStore

HEAD = "name: own\nversion: 1\nid: ID\nra: RA\ndec: DEC\n"
MAG = HEAD + "bands: [{band: g_ls, value: g}]\n"
SKY = {"RA": [150.1, 150.2, 150.3], "DEC": [2.1, 2.2, 2.3]}
BASE = {"ID": [1, 2, 3], **SKY, "g": [20.0, 21.0, 22.0]}
FLUX = [36.3078, 14.4544, 5.7544]
"""µJy of the magnitudes in BASE."""


@pytest.fixture
def stored(tmp_path):
    """Ingest a table with a recipe: galaxies in the order of the table, and the reasons of the quarantine."""

    def run(file, recipe=MAG):
        (tmp_path / "r.yaml").write_text(recipe)
        out = tmp_path / f"store-{file.name}"
        ingest(IngestConfig(source=str(file), recipe=str(tmp_path / "r.yaml")), out, overwrite=True)
        return GalaxyStore.open(out).read(), reasons(out)

    return run


def reasons(store):
    file = store / "quarantine.parquet"
    return pq.read_table(file).column("reason").to_pylist() if file.exists() else []


def parquet(path, **columns):
    pq.write_table(pa.table(BASE | columns), path)
    return path


def csv(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# --- units


@pytest.mark.parametrize(
    ("text", "kind", "factor"),
    [
        ("nJy", "flux", 1e-3),
        ("mJy", "flux", 1e3),
        ("10-6 Jy", "flux", 1.0),
        ("nanomaggy", "flux", 3.6308),
        ("erg/s/cm2/Hz", "flux", 1e29),
        ("mag(AB)", "magnitude", 1.0),
        ("rad", "angle", 57.29578),
        ("hourangle", "angle", 15.0),
        ("MJy/sr", "brightness", 23.504),
        ("electron/s", "counts", 1.0),
        ("log10(Msun)", "unknown", 1.0),
        ("", "none", 1.0),
    ],
)
def test_units_that_files_state(text, kind, factor):
    found = stated_unit(text)
    assert found.kind == kind
    assert found.factor == pytest.approx(factor, rel=1e-4)


def test_units_between_columns():
    assert factor_between("deg", "arcsec") == pytest.approx(3600)
    assert factor_between("Jy", "deg") is None
    assert factor_between("", "deg") == 1.0


def with_units(path, values, unit, error=None, **units):
    t = Table({"ID": [1, 2, 3], **SKY, "F": values})
    t["F"].unit = unit
    if error is not None:
        t["E"] = error
        t["E"].unit = units.pop("E", unit)
    for name, u in units.items():
        t[name].unit = u
    return written(t, path)


def written(t, path):
    kind = {".ecsv": "ascii.ecsv", ".vot": "votable"}.get(path.suffix)
    t.write(path, **({"format": kind} if kind else {}), overwrite=True)
    return path


@pytest.mark.parametrize("ending", ["fits", "ecsv", "vot", "parquet"])
@pytest.mark.parametrize(("unit", "values"), [("nJy", [1000.0, 2000.0, 3000.0]), ("mJy", [1e-3, 2e-3, 3e-3])])
def test_a_stated_unit_counts(tmp_path, stored, ending, unit, values):
    file = with_units(tmp_path / f"t.{ending}", values, unit, np.array(values) / 10)
    g, _ = stored(file, HEAD + "bands: [{band: g_ls, value: F, error: E}]\n")
    assert g.flux[:, 0] == pytest.approx([1, 2, 3])
    assert g.fluxerr[:, 0] == pytest.approx([0.1, 0.2, 0.3])


def test_units_of_errors_and_positions_count_too(tmp_path, stored):
    file = with_units(tmp_path / "t.fits", [1.0, 2.0, 3.0], "uJy", [100.0, 100.0, 100.0], E="nJy")
    t = Table.read(file)
    t["RA"], t["DEC"] = np.radians(SKY["RA"]), np.radians(SKY["DEC"])
    t["RA"].unit = t["DEC"].unit = "rad"
    t.write(file, overwrite=True)
    g, _ = stored(file, HEAD + "bands: [{band: g_ls, value: F, error: E}]\n")
    assert g.fluxerr[:, 0] == pytest.approx([0.1] * 3)
    assert g.ra == pytest.approx(SKY["RA"])


def test_right_ascension_in_hours_and_sexagesimal(tmp_path, stored):
    t = Table(BASE)
    t["RA"] = np.array(SKY["RA"]) / 15
    t["RA"].unit = "hourangle"
    assert stored(written(t, tmp_path / "t.ecsv"))[0].ra == pytest.approx(SKY["RA"])
    file = csv(tmp_path / "s.csv", "ID,RA,DEC,g\n1,10:00:24,+02:06:00,20\n2,00 00 12,-02 12 00,21\n")
    g, _ = stored(file)
    assert g.ra == pytest.approx([150.1, 0.05])
    assert g.dec == pytest.approx([2.1, -2.2])


@pytest.mark.parametrize(
    ("unit", "said", "told"),
    [
        ("nJy", "ujy", "nJy.*recipe says ujy"),
        ("mag", "jy", "mag.*recipe says jy"),
        ("nJy", "abmag", "nJy.*recipe says abmag"),
        ("adu", None, "can't be turned into µJy"),
        ("mag(ST)", None, "can't be turned into µJy"),
    ],
)
def test_a_recipe_that_contradicts_the_file_is_an_error(tmp_path, stored, unit, said, told):
    file = with_units(tmp_path / "t.ecsv", [20.0, 21.0, 22.0], unit)
    unit_text = f", unit: {said}" if said else ""
    with pytest.raises(InputError, match=told):
        stored(file, HEAD + f"bands: [{{band: g_ls, value: F{unit_text}}}]\n")


def test_a_flux_of_which_nobody_says_the_unit_is_an_error(tmp_path, stored):
    file = parquet(tmp_path / "t.parquet", FLUX_G=[1.0, 2.0, 3.0])
    with pytest.raises(InputError, match="states the unit of column 'FLUX_G'"):
        stored(file, HEAD + "bands: [{band: g_ls, value: FLUX_G}]\n")
    g, _ = stored(file, HEAD + "bands: [{band: g_ls, value: FLUX_G, unit: njy}]\n")
    assert g.flux[:, 0] == pytest.approx([1e-3, 2e-3, 3e-3])


def test_a_label_is_brought_to_the_unit_of_the_recipe(tmp_path, stored):
    t = Table(BASE | {"r": [0.001, 0.002, 0.003]})
    t["r"].unit = "deg"
    t.write(tmp_path / "t.fits")
    g, _ = stored(tmp_path / "t.fits", MAG + "columns: [{name: radius, column: r, unit: arcsec}]\n")
    assert g.columns["radius"] == pytest.approx([3.6, 7.2, 10.8])
    with pytest.raises(InputError, match="'deg', but the recipe says 'Jy'"):
        stored(tmp_path / "t.fits", MAG + "columns: [{name: radius, column: r, unit: Jy}]\n")


# --- gaps and marks


def test_scaled_integers_with_a_null(tmp_path, stored):
    columns = [fits.Column(n, "D", array=SKY[n]) for n in ("RA", "DEC")]
    columns += [fits.Column("ID", "K", array=[1, 2, 3])]
    columns += [fits.Column("g", "I", array=np.array([0, -32768, -1000], np.int16))]
    columns += [fits.Column("n", "I", array=np.array([-32768, -32763, -32761], np.int16))]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "t.fits")
    with fits.open(tmp_path / "t.fits", mode="update") as f:
        f[1].header.update({"TSCAL4": 0.001, "TZERO4": 20.0, "TNULL4": -32768})
        f[1].header.update({"TSCAL5": 1, "TZERO5": 32768, "TNULL5": -32763})
    table, _ = read_table(tmp_path / "t.fits")
    assert np.isnan(table["g"]).tolist() == [False, True, False]
    assert table["g"][[0, 2]] == pytest.approx([20.0, 19.0])
    assert np.isnan(table["n"]).tolist() == [False, True, False]
    g, why = stored(tmp_path / "t.fits", MAG + "columns: [{name: n, column: n}]\n")
    assert g.object_id.tolist() == [1, 3]
    assert g.columns["n"].tolist() == [0, 7]
    assert why == ["no band is measured"]


@pytest.mark.parametrize("ending", ["csv", "parquet", "fits"])
def test_magnitudes_that_no_object_has_are_missing_and_said(tmp_path, stored, ending):
    bad = [99.0, -99.0, 3.4028235e38, -9999.0, np.inf]
    n = len(bad) + 1
    t = Table(
        {"ID": range(n), "RA": 150 + np.arange(n) / 10, "DEC": np.ones(n), "g": [*bad, 20.0], "r": [20.0] * n}
    )
    t["er"] = [0.1] * (n - 1) + [99.0]
    t.write(tmp_path / f"t.{ending}")
    bands = "bands: [{band: g_ls, value: g}, {band: r_ls, value: r, error: er}]\n"
    g, why = stored(tmp_path / f"t.{ending}", HEAD + bands)
    assert np.isnan(g.flux[:, 0]).tolist() == [True] * len(bad) + [False]
    assert g.flux[:, 1] == pytest.approx([FLUX[0]] * n)
    assert np.isnan(g.fluxerr[:, 1]).tolist() == [False] * (n - 1) + [True]
    assert "column 'g' holds" in why[0]
    g, why = stored(tmp_path / f"t.{ending}", HEAD + "missing: [des, 3.4028235e38]\n" + bands)
    assert "inf" in why[0]
    assert "99" not in why[0]


def test_fluxes_of_marks_without_an_error_are_missing(tmp_path, stored):
    file = parquet(tmp_path / "t.parquet", F=[-99.0, 0.0, np.inf], E=[-99.0, 0.0, 1.0], R=[1.0, 2.0, 3.0])
    bands = "bands: [{band: g_ls, value: F, error: E, unit: ujy}, {band: r_ls, value: R, unit: ujy}]\n"
    g, _ = stored(file, HEAD + bands)
    assert np.isnan(g.flux[:, 0]).all()
    assert np.isnan(g.fluxerr[:, 0]).all()
    file = parquet(tmp_path / "u.parquet", F=[-99.0, 0.0, -5.0], E=[50.0, 1.0, 2.0], R=[1.0, 2.0, 3.0])
    assert stored(file, HEAD + bands)[0].flux[:, 0] == pytest.approx([-99, 0, -5])


@pytest.mark.parametrize(("unit", "factor"), [("jy", 1e6), ("njy", 1e-3), ("nanomaggy", 3.6307805)])
def test_a_zero_that_means_missing_is_zero_alone(tmp_path, stored, unit, factor):
    values = np.array([3e-7, 0.0, 2e-6]) / factor * 1e6
    file = parquet(tmp_path / "t.parquet", F=values, E=values / 10, R=[1.0] * 3)
    bands = (
        f"bands: [{{band: g_ls, value: F, error: E, unit: {unit}}}, {{band: r_ls, value: R, unit: ujy}}]\n"
    )
    g, _ = stored(file, HEAD + "missing: [0]\n" + bands)
    assert g.flux[[0, 2], 0] == pytest.approx([0.3, 2.0])
    assert g.fluxerr[[0, 2], 0] == pytest.approx([0.03, 0.2])
    assert np.isnan(g.flux[1, 0])


def test_where_and_missing_hold_for_every_type(tmp_path, stored):
    file = parquet(
        tmp_path / "t.parquet",
        z=[0.5, 0.6, -9.0],
        q=[4, 1, 4],
        c=[2, 3, -9],
        f=[1, 1, -9],
        t=["a", "b", "none yet"],
    )
    columns = [
        f"{{name: {n}_, column: {n}, type: {k}, where: q > 3}}" for n, k in zip("zcft", TYPES, strict=True)
    ]
    g, why = stored(file, MAG + "missing: [-9, none yet]\n" + f"columns: [{', '.join(columns)}]\n")
    assert g.columns["z_"] == pytest.approx([0.5, np.nan, np.nan], nan_ok=True)
    assert g.columns["c_"].tolist() == [2, -1, -1]
    assert g.columns["f_"].tolist() == [True, False, False]
    assert g.columns["t_"].tolist() == ["a", "", ""]
    assert "unknown in 2 rows" in why[0]


TYPES = ("float32", "int64", "bool", "string")


@pytest.mark.parametrize("mark", ["NA", "-", "n/a", "null", ""])
def test_marks_in_a_column_of_numbers_are_gaps(tmp_path, stored, mark):
    file = csv(
        tmp_path / "t.csv", f"ID,RA,DEC,g,z\n1,150.1,2,20,0.5\n2,150.2,2,21,{mark}\n3,150.3,2,22,0.7\n"
    )
    assert stored(file, MAG + "select: [{name: s, where: z > 0}]\n")[0].object_id.tolist() == [1, 3]
    g, _ = stored(file, MAG + "columns: [{name: z_spec, column: z}]\n")
    assert g.columns["z_spec"] == pytest.approx([0.5, np.nan, 0.7], nan_ok=True)


def test_a_word_in_a_column_of_numbers_names_row_and_line(tmp_path, stored):
    text = "# made by hand\nID,RA,DEC,g,z\n1,150.1,2,25,0.1\n\n2,150.2,2,20,0.2\n3,150.3,2,20,unknown\n"
    select = "select: [{name: s, where: g < 24}]\n"
    file = csv(tmp_path / "t.csv", text)
    with pytest.raises(InputError, match=r"'unknown' in row 3 \(line 6\)"):
        stored(file, MAG + "columns: [{name: z_spec, column: z}]\n" + select)
    with pytest.raises(InputError, match=r"'unknown' in row 3"):
        stored(file, MAG + "select: [{name: s, where: z > 0}]\n")
    g, _ = stored(file, MAG + "missing: [unknown]\ncolumns: [{name: z_spec, column: z}]\n")
    assert np.isnan(g.columns["z_spec"]).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("expression", "kept"),
    [
        ("z != 0", [1, 0, 0, 1]),
        ("z == 0", [0, 0, 1, 0]),
        ("z not in [0]", [1, 0, 0, 1]),
        ("not (z > 0.6)", [1, 0, 1, 0]),
        ("z % 1 != 0.5", [0, 0, 1, 1]),
        ("isnan(z)", [0, 1, 0, 0]),
        ("z > 0.1 or g < 22", [1, 1, 0, 1]),
        ("flag & 4 == 0", [1, 0, 0, 1]),
        ("kind != 'star'", [1, 0, 0, 1]),
        ("kind == ''", [0, 0, 1, 0]),
        ("z ** -1 > 0", [1, 0, 1, 1]),
    ],
)
def test_an_unknown_value_passes_no_cut(expression, kept):
    columns = {
        "z": np.array([0.5, np.nan, 0.0, 0.7]),
        "g": np.array([25.0, 21.0, 25.0, 21.0]),
        "flag": np.array([0.0, 4.0, np.nan, 8.0]),
        "kind": np.array(["galaxy", "star", "", "qso"], object),
    }
    assert evaluate(expression, columns).astype(int).tolist() == kept


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("z > 0.1 & g < 22", "write 'and'"),
        ("z > 0.1 | g < 22", "write 'or'"),
        ("kind < 5", "compares text"),
        ("z == 'a'", "compares text"),
        ("kind * 3 == 1", "which is text"),
        ("z is None", "isnan"),
        ("(" * 3000 + "z" + ")" * 3000, "nested|can't be read"),
        ("z + " * 9000 + "z", "too long"),
    ],
)
def test_an_expression_that_means_nothing_is_a_sentence(expression, told):
    columns = {"z": np.array([0.5]), "g": np.array([25.5]), "kind": np.array(["a"], object)}
    with pytest.raises(InputError, match=told):
        evaluate(expression, columns)


# --- types


@pytest.mark.parametrize(
    ("column", "type_", "expected"),
    [
        (pa.array([b"spiral", b"ring", None], pa.binary()), "string", ["spiral", "ring", ""]),
        (pa.array(["spiral", "ring", None], pa.string_view()), "string", ["spiral", "ring", ""]),
        (pa.array(["a", None, "a"]).dictionary_encode(), "string", ["a", "", "a"]),
        (pa.array([7, None, 9], pa.int32()), "string", ["7", "", "9"]),
        (pa.array([7, None, 9], pa.int32()), "int64", [7, -1, 9]),
        (pa.array([True, False, None]), "float32", [1.0, 0.0, np.nan]),
        (pa.array([True, False, None]), "bool", [True, False, False]),
        (pa.array([decimal.Decimal("0.5"), None, decimal.Decimal("0.75")]), "float32", [0.5, np.nan, 0.75]),
        (pa.array([None, None, None], pa.null()), "float32", [np.nan] * 3),
        (pa.array([None, None, None], pa.null()), "string", ["", "", ""]),
        (pa.array([None, None, None], pa.null()), "int64", [-1, -1, -1]),
        (pa.array([0, 1, 2], pa.date32()), "string", ["1970-01-01", "1970-01-02", "1970-01-03"]),
        (pa.array([1.5, 2.0, None], pa.float16()), "float32", [1.5, 2.0, np.nan]),
    ],
)
def test_types_of_arrow(tmp_path, stored, column, type_, expected):
    file = parquet(tmp_path / "t.parquet", k=column)
    g, _ = stored(file, MAG + f"columns: [{{name: k_, column: k, type: {type_}}}]\n")
    found = g.columns["k_"].tolist()
    assert found == pytest.approx(expected, nan_ok=True) if type_ == "float32" else found == expected


def test_ids_as_bytes_and_text(tmp_path, stored):
    big = -570040238507752998
    for cells in (
        pa.array([str(big).encode(), b"12", b"13"], pa.binary()),
        pa.array([str(big), "12", " 13 "]),
    ):
        assert stored(parquet(tmp_path / "t.parquet", ID=cells))[0].object_id.tolist() == [big, 12, 13]


@pytest.mark.parametrize(
    "ids", [["1_23", "123", "4"], ["\u0661\u0662", "1", "2"], ["1.0", "2", "3"], ["", "1", "2"]]
)
def test_an_id_that_is_no_whole_number_is_refused(tmp_path, stored, ids):
    with pytest.raises(InputError, match=r"no 64-bit integer .* in row 1.*id_text"):
        stored(parquet(tmp_path / "t.parquet", ID=ids))


def test_an_id_beyond_64_bits_is_refused(tmp_path, stored):
    with pytest.raises(InputError, match="beyond signed 64-bit"):
        stored(parquet(tmp_path / "t.parquet", ID=pa.array([1, 2, 2**64 - 1], pa.uint64())))


@pytest.mark.parametrize("ending", ["fits", "parquet", "vot"])
def test_a_vector_is_no_number_but_one_of_its_values_is(tmp_path, stored, ending):
    vectors = np.arange(1.0, 10.0).reshape(3, 3)
    if ending == "parquet":
        file = parquet(tmp_path / "t.parquet", F=vectors.tolist())
    else:
        file = written(Table(BASE | {"F": vectors}), tmp_path / f"t.{ending}")
    for extra in ("columns: [{name: k, column: F}]\n", "select: [{name: s, where: F > 2}]\n"):
        with pytest.raises(InputError, match=r"column 'F' has 3 values a row"):
            stored(file, MAG + extra)
    g, _ = stored(file, HEAD + "bands: [{band: g_ls, value: 'F[1]', unit: ujy}]\n")
    assert g.flux[:, 0] == pytest.approx([2, 5, 8])


def test_a_name_that_stands_twice_is_a_sentence(tmp_path, stored):
    file = csv(tmp_path / "t.csv", "ID,RA,DEC,g,g\n1,150.1,2,20,21\n")
    with pytest.raises(InputError, match="2 columns named 'g'"):
        stored(file)


def test_masked_columns_from_python_are_not_learned():
    ids = np.array([1, 2, 3])
    for column in (np.ma.array([1, 99, 3], mask=[0, 1, 0]), pa.chunked_array([[1, None, 3]])):
        table = {"object_id": ids, "y": column}
        assert column_for(ids, table, "y") == pytest.approx([1, np.nan, 3], nan_ok=True)
    table = Table({"object_id": ids, "y": np.ma.array(["a", "b", "c"], mask=[0, 1, 0])}, masked=True)
    assert column_for(ids, table, "y").tolist() == ["a", "", "c"]


# --- forms of files

ROWS = [("1", "150.1", "2.1", "20"), ("2", "150.2", "2.2", "21"), ("3", "150.3", "2.3", "22")]
NAMES = ("ID", "RA", "DEC", "g")


def lines(separator, decimal_point="."):
    rows = [separator.join(c.replace(".", decimal_point) for c in r) for r in ROWS]
    return "\n".join([separator.join(NAMES), *rows]) + "\n"


SEXTRACTOR = "".join(f"# {k + 1:3d} {n}  What it is\n" for k, n in enumerate(NAMES))
DIALECTS = {
    "bom.csv": b"\xef\xbb\xbf" + lines(",").encode(),
    "utf16.csv": lines(",").encode("utf-16"),
    "latin1.csv": ("# caf\u00e9\n" + lines(",")).encode("latin-1"),
    "crlf.csv": lines(",").replace("\n", "\r\n").encode(),
    "semicolon.csv": lines(";").encode(),
    "comma.csv": lines(";", ",").encode(),
    "tab.tsv": lines("\t").encode(),
    "bar.txt": lines("|").encode(),
    "comment.csv": ("# one\n# two\n" + lines(",")).encode(),
    "hash.csv": ("#" + lines(",")).encode(),
    "late.txt": ("# my table\n# " + lines(" ")).encode(),
    "packed.csv.gz": gzip.compress(lines(",").encode()),
    "packed.csv": gzip.compress(lines(",").encode()),
    "sextractor.cat": (SEXTRACTOR + lines("  ").split("\n", 1)[1]).encode(),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_dialects_of_text(tmp_path, stored, name):
    g, _ = stored(csv(tmp_path / name, DIALECTS[name]))
    assert g.object_id.tolist() == [1, 2, 3]
    assert g.ra == pytest.approx(SKY["RA"])
    assert g.flux[:, 0] == pytest.approx(FLUX, rel=1e-4)


def test_an_empty_cell_between_tabs_is_a_gap(tmp_path, stored):
    file = csv(tmp_path / "t.txt", "ID\tRA\tDEC\tg\n1\t150.1\t2\t20\n2\t150.2\t2\t\n3\t150.3\t2\t22\n")
    g, why = stored(file)
    assert g.object_id.tolist() == [1, 3]
    assert why == ["no band is measured"]


def test_votable_columns_by_name_and_by_identifier(tmp_path, stored):
    document, resource = VOTableFile(), Resource()
    table = TableElement(document)
    for k, (name, kind) in enumerate({"ID": "long", "RA": "double", "DEC": "double", "g": "double"}.items()):
        table.fields.append(Field(document, ID=f"col_{k}", name=name, datatype=kind))
    document.resources.append(resource)
    resource.tables.append(table)
    table.create_arrays(3)
    for k, cells in enumerate(zip(*BASE.values(), strict=True)):
        table.array[k] = cells
    document.to_xml(str(tmp_path / "t.vot"))
    assert stored(tmp_path / "t.vot")[0].object_id.tolist() == [1, 2, 3]


def hdu(name, **columns):
    return fits.BinTableHDU(Table(columns).as_array(), name=name)


def test_the_table_with_the_columns_is_found_in_any_hdu(tmp_path, stored):
    head = hdu("LDAC_IMHEAD", card=["SIMPLE = T"])
    other = hdu("OTHER", **(BASE | {"g": [25.0, 25.0, 25.0]}))
    fits.HDUList([fits.PrimaryHDU(), head, hdu("LDAC_OBJECTS", **BASE), other]).writeto(tmp_path / "t.cat")
    assert stored(tmp_path / "t.cat")[0].flux[:, 0] == pytest.approx(FLUX, rel=1e-4)
    assert stored(tmp_path / "t.cat", MAG + "hdu: other\n")[0].flux[:, 0] == pytest.approx(
        [0.3631] * 3, rel=1e-3
    )
    with pytest.raises(InputError, match=r"no column 'q'.*LDAC_IMHEAD.*LDAC_OBJECTS"):
        stored(tmp_path / "t.cat", HEAD + "bands: [{band: g_ls, value: q}]\n")


def test_ascii_tables_of_fits_with_a_blank_cell(tmp_path):
    formats = {"ID": "I6", "RA": "F10.5", "DEC": "F10.5", "g": "F8.3"}
    columns = [fits.Column(n, f, array=np.array(BASE[n]), ascii=True) for n, f in formats.items()]
    fits.TableHDU.from_columns(columns).writeto(tmp_path / "t.fits")
    raw = (tmp_path / "t.fits").read_bytes()
    (tmp_path / "t.fits").write_bytes(raw.replace(b"  21.000", b"        "))
    table, _ = read_table(tmp_path / "t.fits")
    assert table["g"] == pytest.approx([20, np.nan, 22], nan_ok=True)


def test_a_damaged_file_is_not_called_truncated_unless_it_is(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1" + b"x" * 100 + b"\x10\0\0\0PAR1")
    with pytest.raises(InputError) as e:
        read_table(tmp_path / "t.parquet")
    assert "download" not in str(e.value)
    (tmp_path / "t.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 40)
    with pytest.raises(InputError, match="HDF5"):
        read_table(tmp_path / "t.h5")


# --- spectra and lists of positions


def spectra(path, **columns):
    base = {"RA": SKY["RA"], "DEC": SKY["DEC"], "Z": [0.1, 0.2, 0.3], "ZWARN": [0, 0, 0]}
    kept = {k: v for k, v in (base | columns).items() if v is not None}
    pq.write_table(pa.table(kept), path)
    out, report = join_spectroscopy(path, np.array(SKY["RA"]), np.array(SKY["DEC"]), 1.0)
    return out, report


@pytest.mark.parametrize(
    "types",
    [
        pa.array([b"GALAXY", b"STAR", b"QSO"], pa.binary()),
        ["galaxy  ", "star", "qso"],
        ["GAL", "STELLAR", "QUASAR"],
    ],
)
def test_types_of_spectra(tmp_path, types):
    out, _ = spectra(tmp_path / "s.parquet", SPECTYPE=types)
    assert out["z_spec"] == pytest.approx([0.1, np.nan, 0.3], nan_ok=True)
    assert out["is_star"].tolist() == [0, 1, 0]


def test_quality_flags_as_text_and_marks_of_redshifts(tmp_path):
    out, report = spectra(tmp_path / "s.parquet", ZWARN=["0", "4", "0"], Z=[0.1, 0.2, -9.0])
    assert out["z_spec"] == pytest.approx([0.1, np.nan, np.nan], nan_ok=True)
    assert "SPECTYPE" in report["without_spectype"]
    out, _ = spectra(tmp_path / "s.parquet", ZWARN=pa.array([0, None, 0]), Z=[99.0, 0.2, 0.3])
    assert out["z_spec"] == pytest.approx([np.nan, np.nan, 0.3], nan_ok=True)


def test_two_columns_that_may_be_the_redshift_are_refused(tmp_path):
    with pytest.raises(InputError, match="Z and REDSHIFT may both be"):
        spectra(tmp_path / "s.parquet", REDSHIFT=[21.0, 22.0, 23.0])
    with pytest.raises(InputError, match="Z and z_spec may both be"):
        spectra(tmp_path / "s.parquet", z_spec=[21.0, 22.0, 23.0])
    out, _ = spectra(tmp_path / "s.parquet", Z=None, REDSHIFT=[0.1, 0.2, 0.3])
    assert out["z_spec"] == pytest.approx([0.1, 0.2, 0.3])


def test_letters_as_types_of_spectra_are_refused(tmp_path):
    with pytest.raises(InputError, match="SPECTYPE holds G, S"):
        spectra(tmp_path / "s.parquet", SPECTYPE=["G", "S", "G"])


@pytest.mark.parametrize(
    "text",
    [
        "ra,dec\n-0.001,2\n359.5,2\n",
        "RAJ2000;DEJ2000\n359.999;2\n-0.5;2\n",
        "ra,dec\n23:59:59.76,+02:00:00\n23 58 00,+02 00 00\n",
    ],
)
def test_lists_of_positions(tmp_path, text):
    found = read_targets(csv(tmp_path / "l.csv", text), 1.0)
    assert found.ra == pytest.approx([359.999, 359.5])
    assert found.dec == pytest.approx([2, 2])


def test_a_list_with_a_gap_or_without_positions_is_a_sentence(tmp_path):
    with pytest.raises(InputError, match="row 2"):
        read_targets(csv(tmp_path / "l.csv", "ra,dec\n1,2\n,2\n"), 1.0)
    with pytest.raises(InputError, match="name the columns of positions ra and dec"):
        read_targets(csv(tmp_path / "l.csv", "x,y\n1,2\n"), 1.0)
