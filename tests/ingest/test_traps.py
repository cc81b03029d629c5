"""The eight traps of the Q1 products, one test each."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable import parse, writeto
from astropy.table import Table

from euclidfm.core.bands import BANDS
from euclidfm.core.errors import InputError
from euclidfm.ingest import IngestConfig, PhotometryRecipe, ingest
from euclidfm.ingest.catalogue.columns import GZ_QUESTIONS, canonical, read_columns
from euclidfm.ingest.catalogue.formats import read_table
from euclidfm.ingest.catalogue.labels import fractions
from euclidfm.ingest.plan import position_id
from euclidfm.store import GalaxyStore


def test_1_zoo_columns_are_concentrations_not_fractions(sky, tmp_path):
    ingest(IngestConfig(source=str(sky.path)), tmp_path / "store")
    c = GalaxyStore.open(tmp_path / "store").read().columns
    seen = np.isfinite(c["gz_smooth"])
    assert c["gz_smooth"][seen] == pytest.approx(3 / 18)
    assert c["gz_featured"][seen] == pytest.approx(6 / 18)
    assert c["gz_edge_on"][seen] == pytest.approx(3 / 9)
    assert c["gz_merger"][seen] == pytest.approx(12 / 30)
    # Zenodo's table: fractions under longer, hyphenated names
    assert canonical("smooth-or-featured-euclid_smooth_fraction") == "smooth_or_featured_smooth"
    shares = {f"disk_edge_on_{a}": np.array([f]) for a, f in (("yes", 0.2), ("no", 0.8))}
    assert fractions(shares, "disk_edge_on", "yes")[0] == pytest.approx(0.2)


def test_2_nan_is_not_no(sky, tmp_path):
    ingest(IngestConfig(source=str(sky.path)), tmp_path / "store")
    c = GalaxyStore.open(tmp_path / "store").read().columns
    assert np.isnan(c["gz_spiral"]).sum() == 6
    t = {f"disk_edge_on_{a}": np.array([np.nan, 0.0]) for a in GZ_QUESTIONS["disk_edge_on"]}
    assert np.isnan(fractions(t, "disk_edge_on", "yes")).all()


def test_3_ids_are_signed_64_bit_and_never_floats(sky, tmp_path):
    north = position_id(np.array([269.7331234]), np.array([66.0187654]))[0]
    south = position_id(np.array([57.0040238]), np.array([-50.7752998]))[0]
    assert north == 2697331234660187654
    assert south == -570040238507752998
    assert int(float(south)) != south
    ingest(IngestConfig(source=str(sky.path)), tmp_path / "store")
    assert set(GalaxyStore.open(tmp_path / "store").column("object_id").tolist()) == set(
        sky.object_id.tolist()
    )

    def as_float(t):
        t["OBJECT_ID"] = t["OBJECT_ID"].astype(float)
        return t

    sky.edit(as_float)
    with pytest.raises(InputError, match="can't hold 64-bit ids exactly"):
        ingest(IngestConfig(source=str(sky.path)), tmp_path / "other")


def test_4_a_table_that_the_service_cut_short_is_refused(tmp_path):
    Table({"object_id": np.arange(5), "ra": np.arange(5.0)}).write(tmp_path / "t.vot", format="votable")
    votable = parse(tmp_path / "t.vot")
    read_table(tmp_path / "t.vot")
    from astropy.io.votable.tree import Info

    votable.resources[0].infos.append(Info(name="QUERY_STATUS", value="OVERFLOW"))
    writeto(votable, str(tmp_path / "t.vot"))
    with pytest.raises(InputError, match="MAXREC"):
        read_table(tmp_path / "t.vot")


def write(t, path):
    if path.suffix == ".parquet":
        pq.write_table(pa.table({c: pa.array(t[c].tolist()) for c in t.colnames}), path)
    else:
        t.write(path, format={".vot": "votable", ".fits": "fits"}[path.suffix], overwrite=True)


@pytest.mark.parametrize("kind", ["vot", "fits", "parquet"])
def test_3_ids_with_empty_cells_are_refused_by_name_and_other_integers_have_gaps(tmp_path, kind):
    """A masked column of integers would become floats, which no 64-bit id survives."""
    ids = np.array([-570040238507752998, 2697331234660187654])
    t = Table({"object_id": ids, "parentid": np.ma.array(ids, mask=[True, False])})
    t["n"] = np.ma.array([7, 8], mask=[False, True])
    path = tmp_path / f"t.{kind}"
    write(t, path)
    whole, _ = read_table(path, ["object_id", "n"])  # what is not asked for does no harm
    assert whole["object_id"].dtype == np.int64 and whole["object_id"].tolist() == ids.tolist()
    np.testing.assert_array_equal(whole["n"], [7, np.nan])
    with pytest.raises(InputError, match=rf"t.{kind}: column 'parentid' of ids has 1 empty cells"):
        read_table(path, ["object_id", "parentid"])
    t = Table({"number": np.ma.array(ids, mask=[True, False])})
    write(t, path)
    with pytest.raises(InputError, match="column 'number' of ids has 1 empty cells"):
        read_table(path)


def test_5_counts_become_microjansky_by_each_headers_magzero(sky, tmp_path):
    ingest(IngestConfig(source=str(sky.path)), tmp_path / "a")
    with fits.open(sky.mosaic("Y"), mode="update") as h:
        h[0].header["MAGZERO"] = BANDS["Y"].magzero - 2.5
    ingest(IngestConfig(source=str(sky.path)), tmp_path / "b")
    a, b = (GalaxyStore.open(tmp_path / n).read() for n in "ab")
    np.testing.assert_allclose(b.images["Y"], 10 * a.images["Y"], rtol=2e-3, atol=1e-3)
    np.testing.assert_allclose(b.noise["Y"], 10 * a.noise["Y"], rtol=1e-4)
    np.testing.assert_array_equal(b.images["VIS"], a.images["VIS"])


def test_6_north_and_south_have_other_ground_bands(sky, tmp_path):
    def north(t):
        t["FLUX_G_EXT_HSC_TEMPLFIT"] = t["FLUX_G_EXT_DECAM_TEMPLFIT"]
        t["FLUXERR_G_EXT_HSC_TEMPLFIT"] = t["FLUXERR_G_EXT_DECAM_TEMPLFIT"]
        t["FLUX_VIS_TO_G_EXT_HSC_TEMPLFIT"] = t["FLUX_VIS_TO_G_EXT_DECAM_TEMPLFIT"]
        t["FLUX_G_EXT_DECAM_TEMPLFIT"] = np.nan
        return t

    sky.edit(north)
    cfg = IngestConfig(source=str(sky.path), sed_bands=("g", "g_hsc", "VIS"))
    ingest(cfg, tmp_path / "store")
    store = GalaxyStore.open(tmp_path / "store")
    assert store.info.sed_names == ("g", "g_hsc", "VIS")
    assert np.isnan(store.column("flux_g")).all()
    assert np.isfinite(store.column("flux_g_hsc")).all()
    assert {b.instrument for b in store.info.sed_bands[:2]} == {"DECam", "HSC"}


def test_7_template_seds_leak_the_redshift_and_are_refused(tmp_path):
    text = (
        "name: o\nversion: 1\nid: i\nwavelengths_nm: {t: 495}\n"
        "bands: [{band: t, value: galaxysed_flux_4900_5000}]\n"
    )
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(InputError, match="leaks"):
        PhotometryRecipe.load(str(tmp_path / "r.yaml"))
    (tmp_path / "r.yaml").write_text(text + "allow_template_sed: true\n")
    PhotometryRecipe.load(str(tmp_path / "r.yaml"))


def test_8_the_artefact_answer_has_had_several_names(tmp_path):
    for name in ("artifact_star_zoom", "artifact", "problem"):
        for old in (
            f"smooth_or_featured_{name}",
            f"smooth-or-featured-euclid_{name}",
            f"SMOOTH_OR_FEATURED_{name.upper()}",
        ):
            assert canonical(old) == "smooth_or_featured_artifact_star_zoom"


@pytest.mark.parametrize("prefix", ["", "mer_"])
def test_column_names_of_esa_irsa_and_the_merged_parquet(tmp_path, prefix):
    t = Table(
        {"object_id": np.arange(3), f"{prefix}vis_det": np.ones(3), "ra": np.ones(3), "dec": np.ones(3)}
    )
    t.write(tmp_path / "t.parquet")
    got = read_columns(tmp_path / "t.parquet", ("object_id", "right_ascension", "declination", "vis_det"))
    assert got["vis_det"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("merged", "esa"),
    [
        ("phz_phz_median", "phz_median"),
        ("PHZ_MEDIAN", "phz_median"),
        ("phz_phz_flags", "phz_flags"),
        ("phz_flux_vis_unif", "flux_vis_unif"),
        ("class_phz_classification", "phz_classification"),
        ("physparam_phz_pp_median_stellarmass", "phz_pp_median_stellarmass"),
        ("physparam_phys_param_flags", "phys_param_flags"),
        ("morph_gini", "gini"),
    ],
)
def test_the_merged_parquet_names_the_redshift_products_with_a_prefix(merged, esa):
    assert canonical(merged) == esa


def test_flags_of_other_products_are_not_the_redshift_flags():
    assert canonical("class_phz_flags") != "phz_flags" != canonical("physparam_phz_flags")
