"""Arrays and FITS files with a table: every kind gives the same store; bad ones are one sentence."""

import shutil
import zipfile

import h5py
import numpy as np
import pytest
import zarr
from astropy.io import fits
from pictures import made, write_recipe

from euclidfm.cli import main
from euclidfm.core.units import ujy_per_count
from euclidfm.ingest.cutouts import array_file

N, BANDS, SIDE = 10, ("g", "new", "K"), 24
IMAGES = np.random.default_rng(4).normal(0.5, 0.1, (N, len(BANDS), SIDE, SIDE)).astype(np.float32)
CUTOUTS = {
    "files": None,
    "bands": [{"name": "g"}, {"name": "new", "wavelength_nm": 1234.0}, {"name": "K"}],
    "unit": "nanomaggy",
    "pixel_arcsec": 0.25,
}
NANOMAGGY = 10 ** (0.4 * 1.4)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "set"
    root.mkdir()
    rows = [f"n{k},smooth,{k},{150 + k},{2.5},{3 if k == 7 else 0}" for k in range(N)]
    (root / "labels.csv").write_text("\n".join(["name,class,score,ra,dec,empty", *rows]) + "\n")
    return root


def write_npz(path, **arrays):
    np.savez(path, **arrays)


def write_compressed(path, **arrays):
    np.savez_compressed(path, **arrays)


def write_hdf5(path, **arrays):
    with h5py.File(path, "w") as f:
        for name, a in arrays.items():
            f.create_dataset(name, data=a, chunks=(2, *a.shape[1:]), compression="gzip")


def write_zarr(path, **arrays):
    group = zarr.open_group(str(path), mode="w")
    for name, a in arrays.items():
        group.create_array(name, shape=a.shape, chunks=(3, *a.shape[1:]), dtype=a.dtype)[:] = a


WRITERS = {"a.npz": write_npz, "b.npz": write_compressed, "c.h5": write_hdf5, "d.zarr": write_zarr}


def array_recipe(folder, name, **changes):
    cutouts = CUTOUTS | {"array": name, "dataset": "images"} | changes
    return write_recipe(folder, cutouts, ra="ra", dec="dec")


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_array(folder, name):
    WRITERS[name](folder / name, images=IMAGES, rms=0.1 + 0 * IMAGES, ids=np.arange(N))
    store = made(folder, array_recipe(folder, name, empty_bands="empty"))
    g, info = store.read(), store.info
    order = np.argsort(np.argsort(g.columns["score"]))
    assert info.uncalibrated == () and info.pixel_arcsec == 0.25
    assert info.image_wavelengths_nm == {"new": 1234.0} and "HEALPix" in info.provenance["splits_by"]
    for c, b in enumerate(BANDS):
        here = g.has_image(b)
        wanted = NANOMAGGY * IMAGES[g.columns["score"].astype(int), c]
        np.testing.assert_allclose(g.images[b][here], wanted[here], rtol=1e-3, atol=1e-4)
        assert (~here).sum() == (b != "K") and len(order) == N  # row 7 lacks the first two bands
        np.testing.assert_allclose(g.noise[b][here], 0.1 * NANOMAGGY, rtol=0.2)
    mapped = made(folder, array_recipe(folder, name, rms="rms")).read()
    np.testing.assert_allclose(mapped.noise["g"], 0.1 * NANOMAGGY, rtol=1e-5)


def test_npy_axes_masks_blank_and_selection(folder):
    images = IMAGES.copy()
    images[2, :, :3] = -99
    np.save(folder / "a.npy", np.moveaxis(images, 1, -1))
    recipe = write_recipe(
        folder,
        CUTOUTS | {"array": "a.npy", "axes": "nyxb", "blank": -99},
        select=[{"name": "some", "where": "score >= 2 and score != 5"}],
    )
    g = made(folder, recipe, bands=("new",)).read()
    assert list(g.images) == ["new"] and g.columns["score"].tolist() == [2, 3, 4, 6, 7, 8, 9]
    assert g.masks["new"][0, :3].all() and g.masks["new"].sum() == 3 * SIDE
    np.testing.assert_allclose(g.images["new"][3], NANOMAGGY * IMAGES[6, 1], rtol=1e-3, atol=1e-4)


def test_rows_of_a_compressed_array_out_of_order(tmp_path):
    write_compressed(tmp_path / "a.npz", images=IMAGES)
    rows = array_file.open_array(tmp_path / "a.npz")
    np.testing.assert_array_equal(rows[4:6], IMAGES[4:6])
    np.testing.assert_array_equal(rows[1:3], IMAGES[1:3])
    np.testing.assert_array_equal(rows[7:10], IMAGES[7:10])


def test_cutanas_batches_of_zarr(tmp_path):
    """Folders of batches with ``images.zarr`` (n, y, x, band) in Jy and a table in the same order."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    root = tmp_path / "cutana"
    for k, rows in enumerate((np.arange(6), np.arange(6, N))):
        batch = root / f"batch_cutout_process_00{k}_abc"
        batch.mkdir(parents=True)
        write_zarr(batch / "images.zarr", images=np.moveaxis(IMAGES[rows] * 1e-6, 1, -1))
        ids = [f"TILE_1_{r}" for r in rows]
        table = pa.table({"source_id": ids, "ra": 150.0 + rows, "dec": 2.0 + 0.0 * rows})
        pq.write_table(table, batch / "images_metadata.parquet")
    recipe = write_recipe(
        root,
        CUTOUTS | {"array": "*/images.zarr", "axes": "nyxb", "unit": "jy"},
        files=[{"pattern": "*/images_metadata.parquet"}],
        id="source_id",
        ra="ra",
        dec="dec",
        columns=[{"name": "row", "column": "ra"}],
    )
    g = made(root, recipe).read()
    np.testing.assert_allclose(g.images["K"], IMAGES[(g.ra - 150).astype(int), 2], rtol=1e-3, atol=1e-4)


def write_fits(path, image, **header):
    hdu = fits.ImageHDU(image, name=header.pop("name", "SCI"))
    hdu.header.update(header)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)


def test_cubes_hdus_and_a_file_a_band(folder):
    for name in ("cubes", "hdus", "bands"):
        (folder / name).mkdir()
    for k in range(N):
        write_fits(folder / f"cubes/n{k}.fits", IMAGES[k])
        hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(IMAGES[k, c], name=b) for c, b in enumerate(BANDS))]
        for hdu, unit in zip(hdus[1:], ("uJy", "nJy", ""), strict=True):
            hdu.header["BUNIT" if unit else "MAGZERO"] = unit or 25.0
        fits.HDUList(hdus).writeto(folder / f"hdus/{k}.fits")
        for c, b in enumerate(BANDS):
            write_fits(folder / f"bands/{k}-{b.lower()}.fits", IMAGES[k, c])
    (folder / "bands/4-g.fits").unlink()
    cube = made(folder, write_recipe(folder, CUTOUTS | {"files": "cubes/{name}.fits"})).read()
    hdus = [{"name": b, "hdu": b.upper()} for b in BANDS]
    own = CUTOUTS | {"files": "hdus/{score}.fits", "bands": hdus, "unit": "header"}
    headers = made(folder, write_recipe(folder, own)).read()
    files = [{"name": b, "file": b.lower()} for b in BANDS]
    split = made(
        folder, write_recipe(folder, CUTOUTS | {"files": "bands/{score}-{band}.fits", "bands": files})
    ).read()
    of = {"uJy": 1.0, "nJy": 1e-3, "": ujy_per_count(25.0)}
    for c, (b, scale) in enumerate(zip(BANDS, of.values(), strict=True)):
        wanted = IMAGES[cube.columns["score"].astype(int), c]
        np.testing.assert_allclose(cube.images[b], NANOMAGGY * wanted, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(headers.images[b], scale * wanted, rtol=1e-3, atol=1e-4 * scale)
        here = split.has_image(b)
        assert (~here).sum() == (b == "g")
        np.testing.assert_allclose(split.images[b][here], NANOMAGGY * wanted[here], rtol=1e-3, atol=1e-4)


def no_numbers(path):
    with h5py.File(path, "w") as f:
        f.create_dataset("images", data=np.void(b"\x80\x04pickled"), shape=())
        kind = h5py.vlen_dtype(np.uint8)
        f.create_dataset("objects", (N, 2, 2), dtype=kind)


BAD_ARRAYS = {
    "longer": (
        "a.npy",
        lambda p: np.save(p, np.concatenate([IMAGES, IMAGES])),
        "has 20 galaxies and the table 10",
    ),
    "fewer bands": (
        "a.npy",
        lambda p: np.save(p, IMAGES[:, :2]),
        "have 2 planes and the recipe names 3 bands",
    ),
    "axes": ("a.npy", lambda p: np.save(p, IMAGES[0]), "has an array of 3 x 24 x 24, not with axes nbyx"),
    "objects": ("a.npy", lambda p: np.save(p, np.full(N, None), allow_pickle=True), "holds Python objects"),
    "objects in npz": ("a.npz", lambda p: np.savez(p, images=np.full(N, None)), "holds Python objects"),
    "no array": ("a.npz", lambda p: np.savez(p, other=IMAGES), "holds no array 'images' (it has other)"),
    "no zip": ("a.npz", lambda p: p.write_bytes(b"PK no"), "is not a readable npz file"),
    "pickled HDF5": (
        "a.h5",
        no_numbers,
        "holds Python objects and not numbers, and such files are not opened",
    ),
    "no HDF5": ("a.h5", lambda p: p.write_bytes(b"text"), "is not a readable HDF5 file"),
    "none": ("a.h5", lambda p: None, "holds no array 'a.h5'"),
    "unknown": ("a.mat", lambda p: p.write_bytes(b"x"), "unknown kind of array"),
}


@pytest.mark.parametrize("what", BAD_ARRAYS)
def test_a_bad_array_is_one_sentence(folder, capsys, what):
    name, write, sentence = BAD_ARRAYS[what]
    write(folder / name)
    recipe = array_recipe(folder, name, dataset="objects" if "pickled" in what else "images")
    out = folder.parent / "store"
    assert main(["ingest", str(folder), "--recipe", recipe, "--out", str(out)]) == 2
    assert sentence in capsys.readouterr().err.strip().splitlines()[-1]
    assert not out.exists()


def test_a_line_that_is_no_row_and_an_array_that_lies_outside(folder, capsys):
    np.save(folder / "a.npy", IMAGES)
    shutil.copy(folder / "labels.csv", folder.parent / "whole.csv")
    with (folder / "labels.csv").open("a") as f:
        f.write("n11,smooth\n")
    command = [
        "ingest",
        str(folder),
        "--recipe",
        array_recipe(folder, "a.npy"),
        "--out",
        str(folder.parent / "s"),
    ]
    assert main(command) == 2
    assert "so its rows can't be matched with the array" in capsys.readouterr().err
    shutil.move(folder.parent / "whole.csv", folder / "labels.csv")
    shutil.move(folder / "a.npy", folder.parent / "a.npy")
    (folder / "a.npy").symlink_to(folder.parent / "a.npy")
    assert main(command) == 2
    assert "leads out of the folder, to" in capsys.readouterr().err


def test_an_npz_that_promises_too_much(folder, capsys):
    head = np.lib.format
    with zipfile.ZipFile(folder / "a.npz", "w", zipfile.ZIP_DEFLATED) as z, z.open("images.npy", "w") as f:
        shape = {"descr": "<f4", "fortran_order": False, "shape": (N, 3, 200_000, 200_000)}
        head.write_array_header_1_0(f, shape)
        f.write(bytes(1_000_000))
    command = [
        "ingest",
        str(folder),
        "--recipe",
        array_recipe(folder, "a.npz"),
        "--out",
        str(folder.parent / "s"),
    ]
    assert main(command) == 2
    assert "no size of a cutout" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ({}, "has no BUNIT and no MAGZERO; give the unit in the recipe"),
        ({"BUNIT": "K"}, "has BUNIT 'K', which is no flux, and no MAGZERO"),
        ({"BUNIT": "Jy", "FLUXAPPX": True}, "was resized without keeping its flux"),
    ],
)
def test_fits_without_a_unit(folder, capsys, header, sentence):
    for k in range(N):
        write_fits(folder / f"n{k}.fits", IMAGES[k], **(header if k == 3 else {"BUNIT": "Jy"}))
    recipe = write_recipe(folder, CUTOUTS | {"files": "{name}.fits", "unit": "header"})
    command = ["ingest", str(folder), "--recipe", recipe, "--out", str(folder.parent / "store")]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert sentence in said and "n3.fits" in said
    assert main([*command, "--on_error", "quarantine"]) == 0
