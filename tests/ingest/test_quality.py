"""The quality report and the numbers in it."""

import re

import numpy as np
import pytest
from skyfiles import write_sky

from euclidfm.cli import main
from euclidfm.core.errors import InputError
from euclidfm.ingest import IngestConfig, describe_store, ingest, quality_report
from euclidfm.ingest.quality.figures import asinh_stretch


def test_a_store_is_described_by_its_numbers(sky, tmp_path):
    ingest(IngestConfig(source=str(sky.path), size=32), tmp_path / "store")
    n = describe_store(tmp_path / "store")
    assert n["rows"] == sum(n["splits"].values()) == 12
    assert n["images"]["VIS"]["present"] == 1.0
    assert n["images"]["VIS"]["noise_ujy"] == pytest.approx(0.0021, rel=0.01)
    assert n["images"]["VIS"]["limit_5sigma_arcsec2"] == pytest.approx(26.35, abs=0.02)
    assert n["sed"]["Y"]["signal_to_noise"] == pytest.approx(50, rel=1e-3)
    assert n["columns"]["gz_smooth"] == {"role": "label", "known": 0.5}
    assert n["funnel"][0] == ("catalogued", 12)
    assert n["quarantine"] == {}


def test_the_page_is_self_contained_and_shows_what_was_left_out(sky, tmp_path):
    def change(t):
        t["RIGHT_ASCENSION"][0] = np.nan
        return t

    sky.edit(change)
    write_sky(sky.path, n=3, tile=7, centre=(359.999, -50.0), side=200)
    ingest(IngestConfig(source=str(sky.path), size=16, quality=True), tmp_path / "store")
    page = (tmp_path / "store" / "quality.html").read_text()
    for heading in ("Sky", "Selection funnel", "Images", "SED", "Cutouts", "Magnitudes", "Colours", "Masked"):
        assert f"<h2>{heading}" in page
    assert "its position is not a number" in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    with pytest.raises(InputError, match=r"must end in \.html"):
        quality_report(tmp_path / "store", tmp_path / "page.txt")


def test_a_store_without_images_or_positions_has_a_page(tmp_path):
    (tmp_path / "r.yaml").write_text(
        "name: r\nversion: 1\nid: i\nbands: [{band: g_ls, value: g, unit: ujy}]\n"
    )
    (tmp_path / "t.csv").write_text("i,g\n1,2.0\n2,3.0\n")
    cfg = IngestConfig(source=str(tmp_path / "t.csv"), recipe=str(tmp_path / "r.yaml"))
    ingest(cfg, tmp_path / "store")
    quality_report(tmp_path / "store", tmp_path / "q.html")
    assert "no images" in (tmp_path / "q.html").read_text()


def test_the_stretch_is_monotonic_and_bounded():
    x = np.linspace(-1, 100, 1000)
    y = asinh_stretch(x, 0.1, 50.0)
    assert (np.diff(y) >= 0).all()
    assert y.min() == 0.0
    assert y.max() == 1.0


def test_info_tells_the_funnel_and_the_quarantine_and_writes_the_page(sky, tmp_path, capsys):
    def change(t):
        t["RIGHT_ASCENSION"][0] = np.nan
        t["SPURIOUS_FLAG"][1] = 1
        return t

    sky.edit(change)
    ingest(IngestConfig(source=str(sky.path), size=16), tmp_path / "store")
    page = tmp_path / "page.html"
    assert main(["info", str(tmp_path / "store"), "--quality", str(page)]) == 0
    told = capsys.readouterr().out
    assert f"from {sky.path}, q1-bright-or-extended v1" in told
    assert "10  not spurious" in told and "quarantine: 1" in told and "its position is not a number" in told
    assert "<h2>Selection funnel" in page.read_text()
    assert main(["info", str(sky.path), "--quality", str(page)]) == 2
