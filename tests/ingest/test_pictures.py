"""Pictures with a table: values, splits, units, and what goes wrong."""

import struct
import zlib

import numpy as np
import pyarrow.parquet as pq
import pytest
from pictures import SIDE, folder_of_pictures, galaxy, made, write_recipe
from PIL import Image

from euclidfm.cli import main
from euclidfm.core.errors import InputError
from euclidfm.ingest import IngestConfig, describe_store, ingest, quality_report
from euclidfm.store import GalaxyStore
from euclidfm.store.calibration import require_ujy


@pytest.fixture
def folder(tmp_path):
    return folder_of_pictures(tmp_path / "set")


def test_a_folder_of_pictures_becomes_a_store(folder, capsys):
    recipe, out = write_recipe(folder), folder.parent / "store"
    assert main(["ingest", str(folder), "--recipe", recipe, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "a hash of the id" in said and "uncalibrated" in said
    store = GalaxyStore.open(out)
    info, g = store.info, store.read()
    assert info.image_bands == info.uncalibrated == ("red", "green", "blue")
    assert np.isnan(info.pixel_arcsec) and info.image_wavelengths_nm == {"red": 750.0}
    assert info.image_size == SIDE and len(g) == 12
    for i, name in enumerate(g.columns["file"]):
        picture = galaxy(int(name[1:]))[::-1]  # FITS order: the bottom row first
        for c, b in enumerate(info.image_bands):
            np.testing.assert_array_equal(g.images[b][i], picture[..., c])
    assert g.columns["class"].tolist().count("spiral") == 6
    np.testing.assert_allclose(np.median(g.noise["red"]), 3.0, rtol=0.15)
    np.testing.assert_allclose(np.median(g.columns["sky_red"]), 12.0, atol=1.0)
    with pytest.raises(InputError, match=r"magnitudes needs images in µJy, and band red .* uncalibrated"):
        require_ujy(store, ["red"], "magnitudes")


def test_sky_rebinning_size_and_transfer(folder):
    kept = made(folder, write_recipe(folder)).read()
    sky = made(folder, write_recipe(folder, {"sky": "subtract"})).read()
    np.testing.assert_allclose(
        sky.images["red"], kept.images["red"] - kept.columns["sky_red"][:, None, None], atol=0.05
    )
    half = made(folder, write_recipe(folder, {"rebin": 2, "size": 16})).read()
    mean = kept.images["red"].reshape(-1, 20, 2, 20, 2).mean(axis=(2, 4))[:, 2:18, 2:18]
    np.testing.assert_allclose(half.images["red"], mean, atol=0.1)
    assert half.noise["red"].mean() == pytest.approx(kept.noise["red"].mean() / 2, rel=0.25)
    padded = made(folder, write_recipe(folder), size=SIDE + 8)
    assert padded.read().columns["flag_edge"].all() and padded.read().masks["red"][:, :4].all()
    linear = made(folder, write_recipe(folder, {"transfer": "srgb"})).read()
    x = kept.images["red"] / 255
    wanted = 255 * np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(linear.images["red"], wanted, rtol=2e-3, atol=0.02)
    grey = made(folder, write_recipe(folder, {"bands": [{"name": "grey", "plane": "mean"}]})).read()
    np.testing.assert_allclose(grey.images["grey"], sum(kept.images.values()) / 3, rtol=2e-3, atol=0.02)


def test_processes_and_a_run_that_was_stopped_make_the_same_store(tmp_path, monkeypatch):
    folder = folder_of_pictures(tmp_path / "set", 600)
    recipe = write_recipe(folder)
    whole = made(folder, recipe).read()
    from euclidfm.ingest.workspace import UnitFolder

    do, stopped = UnitFolder.do, tmp_path / "stopped"

    def breaks(self, number, *rest):
        if number == 2:
            raise KeyboardInterrupt
        do(self, number, *rest)

    cfg = IngestConfig(source=str(folder), recipe=recipe)
    monkeypatch.setattr(UnitFolder, "do", breaks)
    with pytest.raises(KeyboardInterrupt):
        ingest(cfg, stopped)
    monkeypatch.setattr(UnitFolder, "do", do)
    ingest(cfg, stopped)
    again = GalaxyStore.open(stopped).read()
    assert again.object_id.tolist() == whole.object_id.tolist()
    np.testing.assert_array_equal(again.images["red"], whole.images["red"])


def test_without_a_table_names_of_files_are_ids(folder):
    recipe = write_recipe(folder, {"files": "images/*.png"}, files=None, id=None, columns=None)
    assert len(set(made(folder, recipe).column("object_id").tolist())) == 12


def test_grey_pictures_of_16_bits_and_the_quality_report(tmp_path):
    folder = folder_of_pictures(tmp_path / "set", 3)
    for k in range(3):
        deep = galaxy(k, (SIDE, SIDE)).astype(np.uint16) * 100
        Image.fromarray(deep).save(folder / f"images/g{k}.tif")
        (folder / f"images/g{k}.png").unlink()
    store = made(folder, write_recipe(folder, {"files": "images/{name}.tif", "bands": [{"name": "K"}]}))
    np.testing.assert_allclose(store.read().images["K"][0, ::-1], galaxy(0, (SIDE, SIDE)) * 100.0, rtol=1e-3)
    numbers = quality_report(store.path, tmp_path / "quality.html")["images"]["K"]
    assert numbers["unit"] == "of the files" and np.isnan(numbers["noise_ujy"]) and numbers["noise"] > 100
    assert numbers["sky_in_noise"] == pytest.approx(4.0, rel=0.3) and not numbers["sky_subtracted"]
    assert "of the files" in (tmp_path / "quality.html").read_text()
    assert describe_store(store.path)["images"]["K"]["present"] == 1.0


def bomb(path):
    """A PNG that promises 40 000 x 40 000 pixels in a few bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


def turned(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(galaxy(0)).save(path, exif=exif)


def outside(path):
    real = path.parent.parent.parent / "elsewhere.png"
    Image.fromarray(galaxy(0)).save(real)
    path.unlink()
    path.symlink_to(real)


def saved(mode="RGB", shape=(SIDE, SIDE, 3), kind=np.uint8, form="PNG"):
    """A function that saves a picture of another mode, size or type."""
    return lambda p: Image.fromarray(galaxy(0, shape).astype(kind)).convert(mode).save(p, format=form)


DAMAGE = {
    "no picture": (lambda p: p.write_bytes(b"this is text"), "is no picture that can be read"),
    "cut short": (lambda p: p.write_bytes(p.read_bytes()[:900]), "is no picture that can be read"),
    "another size": (saved(shape=(30, SIDE, 3)), "is 40 x 30 px, RGB and the others"),
    "grey": (saved("L"), "px, L and the others are"),
    "transparent": (saved("RGBA"), "colour with transparency; save it as"),
    "palette": (saved("P"), "is a palette; save it as"),
    "16 bits": (saved("I;16", (SIDE, SIDE), np.uint16), "px, I;16 and the others are"),
    "CMYK": (saved("CMYK", form="TIFF"), "is CMYK; save it as"),
    "bomb": (bomb, "promises more than 67108864 pixels"),
    "turned": (turned, "is turned (EXIF orientation 6); save it upright, or set exif_rotation: apply"),
    "link": (outside, "leads out of the folder, to"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_bad_picture_is_one_sentence_and_the_rest_is_kept(folder, capsys, what):
    damage, sentence = DAMAGE[what]
    damage(folder / "images/g5.png")
    command = ["ingest", str(folder), "--recipe", write_recipe(folder), "--out", str(folder.parent / "store")]
    assert main(command) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert sentence in said and "g5.png" in said and "--on_error quarantine" in said
    assert not (folder.parent / "store").exists()
    assert main([*command, "--on_error", "quarantine"]) == 0
    store = GalaxyStore.open(folder.parent / "store")
    assert len(store) == 11 and "g5" not in store.column("file")
    left = pq.read_table(store.path / "quarantine.parquet").to_pylist()
    assert len(left) == 1 and sentence in left[0]["reason"]


def test_a_turned_picture_can_be_applied(folder):
    exif = Image.Exif()
    exif[0x0112] = 6  # the picture is shown turned clockwise
    Image.fromarray(galaxy(5)).save(folder / "images/g5.png", exif=exif)
    g = made(folder, write_recipe(folder, {"exif_rotation": "apply"})).read()
    (row,) = np.flatnonzero(g.columns["file"] == "g5")
    np.testing.assert_array_equal(g.images["red"][row], np.rot90(galaxy(5)[..., 0], -1)[::-1])


def test_labels_without_pictures_and_pictures_without_labels(folder, capsys):
    (folder / "images/g3.png").unlink()
    Image.fromarray(galaxy(0)).save(folder / "images/stray.png")
    command = ["ingest", str(folder), "--recipe", write_recipe(folder), "--out", str(folder.parent / "store")]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "1 rows of the table have no image (the first is row 4" in said
    assert "1 images have no row in the table (the first is images/stray.png)" in said
    assert main([*command, "--on_error", "quarantine"]) == 0
    store = GalaxyStore.open(folder.parent / "store")
    left = pq.read_table(store.path / "quarantine.parquet").to_pylist()
    assert len(store) == 11 and {r["reason"] for r in left} == {
        "no row of the table names this image",
        "its image does not exist",
    }


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"bands": [{"name": "a"}, {"name": "b"}]}, "have 3 planes and the recipe names 2 bands"),
        ({"bands": [{"name": "a", "plane": 3}]}, "have 3 planes and the recipe names 1 bands"),
        ({"files": "pictures/{name}.png"}, "has none of the 12 images that its table names"),
        ({"files": "images/{nome}.png"}, "has no column 'nome'"),
        ({"unit": "counts"}, "the unit is counts but band red has no magzero"),
        ({"unit": "photons"}, "unit is 'photons'; it must be one of"),
        ({"pixel_arcsec": "a few"}, "give the pixel scale in arcsec, or unknown"),
        ({"array": "x.npy"}, "give either files"),
        ({"colour": 1}, "unknown key 'colour' in cutouts"),
    ],
)
def test_a_wrong_recipe_is_one_sentence(folder, capsys, change, sentence):
    command = [
        "ingest",
        str(folder),
        "--recipe",
        write_recipe(folder, change),
        "--out",
        str(folder.parent / "s"),
    ]
    assert main(command) == 2
    assert sentence in capsys.readouterr().err
