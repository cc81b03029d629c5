"""The store: what goes in comes out, in physical units, whatever is missing."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from euclidfm.core.bands import resolve_bands
from euclidfm.core.errors import InputError
from euclidfm.store import Column, Galaxies, GalaxyStore, StoreInfo, StoreWriter, assign_splits
from euclidfm.store.loader import Stream
from euclidfm.store.pixels import from_half, to_half


def make_galaxies(n: int, size: int = 8, seed: int = 0, bands=("VIS", "H"), sed=("g", "VIS")) -> Galaxies:
    rng = np.random.default_rng(seed)
    images = {b: rng.normal(0, 0.01, (n, size, size)).astype(np.float32) for b in bands}
    masks = {b: rng.random((n, size, size)) < 0.1 for b in bands}
    for b in bands:
        masks[b][rng.random(n) < 0.3] = True  # no image at all
        images[b][masks[b]] = 0.0
    flux = rng.normal(1, 3, (n, len(sed))).astype(np.float32)
    flux[rng.random(flux.shape) < 0.2] = np.nan
    return Galaxies(
        object_id=-(10**17) - rng.integers(0, 10**12, n),
        ra=rng.uniform(60, 61, n),
        dec=rng.uniform(-50, -49, n),
        tile=np.full(n, 102018665),
        split=rng.choice(["train", "validation", "test"], n),
        images=images,
        masks=masks,
        noise={b: np.full(n, 0.01, np.float32) for b in bands},
        flux=flux,
        fluxerr=np.abs(flux) * 0.1,
        sed_bands=tuple(sed),
        columns={"z_spec": rng.uniform(0, 1, n), "kind": rng.choice(["star", "galaxy"], n)},
    )


INFO = StoreInfo(
    image_bands=("VIS", "H"),
    image_size=8,
    sed_bands=tuple(resolve_bands(["g", "VIS"])),
    columns=(Column(name="z_spec"), Column(name="kind", type="string", role="truth")),
)


@pytest.fixture
def store(tmp_path):
    galaxies = make_galaxies(1500)
    with StoreWriter(tmp_path / "store", INFO, shard_rows=600) as writer:
        writer.add(galaxies.take(np.arange(700)))
        writer.add(galaxies.take(np.arange(700, 1500)))
    return GalaxyStore.open(tmp_path / "store"), galaxies


def test_round_trip(store):
    store, galaxies = store
    assert len(store) == 1500
    rows = np.array([1499, 3, 3, 700])
    back = store.read(rows)
    want = galaxies.take(rows)
    assert (back.object_id == want.object_id).all() and back.object_id.dtype == np.int64
    for b in ("VIS", "H"):
        assert (back.masks[b] == want.masks[b]).all()
        np.testing.assert_allclose(back.images[b], want.images[b], rtol=2**-11, atol=1e-9)
    np.testing.assert_array_equal(back.flux, want.flux)
    assert (back.columns["kind"] == want.columns["kind"]).all()


def test_readable_without_us(store):
    store, galaxies = store
    table = pq.read_table(store.path / "shards" / "part-00000.parquet")
    row = next(i for i in range(table.num_rows) if table["image_VIS"][i].is_valid)
    pixels = (
        np.frombuffer(table["image_VIS"][row].as_py(), "<f2").astype(float) * table["scale_VIS"][row].as_py()
    )
    np.testing.assert_allclose(pixels.reshape(8, 8), galaxies.images["VIS"][row], rtol=2**-11, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(peak=st.floats(1e-6, 1e6), noise=st.one_of(st.just(float("nan")), st.floats(1e-5, 1.0)))
def test_any_brightness_survives(tmp_path_factory, peak, noise):
    galaxies = make_galaxies(1)
    for b in ("VIS", "H"):
        galaxies.masks[b][:] = False
        galaxies.images[b][:] = 0
        galaxies.images[b][0, 4, 4] = peak
        galaxies.noise[b][:] = noise
    path = tmp_path_factory.mktemp("s") / "store"
    with StoreWriter(path, INFO) as writer:
        writer.add(galaxies)
    back = GalaxyStore.open(path).read()
    floor = 0.0 if np.isnan(noise) else 2**-20 * noise
    assert abs(back.images["VIS"][0, 4, 4] - peak) <= max(2**-11 * peak, floor)


def test_nothing_half_written_is_left(tmp_path):
    with pytest.raises(RuntimeError), StoreWriter(tmp_path / "store", INFO) as writer:
        writer.add(make_galaxies(10))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shard_rows", [100, 600, 8192])
def test_shards_do_not_depend_on_the_batches(tmp_path, shard_rows):
    galaxies = make_galaxies(700)
    for name, parts in (("one", [700]), ("many", [255, 1, 2, 442])):
        with StoreWriter(tmp_path / name, INFO, shard_rows=shard_rows) as writer:
            for end, n in zip(np.cumsum(parts), parts, strict=True):
                writer.add(galaxies.take(np.arange(end - n, end)))
    shards = sorted(p.name for p in (tmp_path / "one/shards").iterdir())
    assert shards == [f"part-{k:05d}.parquet" for k in range(-(-700 // shard_rows))]
    for name in shards:
        one, many = (pq.read_table(tmp_path / store / "shards" / name) for store in ("one", "many"))
        assert one.num_rows <= shard_rows and one.num_rows == many.num_rows
        assert repr(one.to_pydict()) == repr(many.to_pydict())  # as text, in which NaN equals NaN


def test_existing_store_is_kept(store):
    store, _ = store
    with pytest.raises(InputError, match="exists already"):
        StoreWriter(store.path, INFO)
    (store.path.parent / "other").mkdir()
    (store.path.parent / "other" / "thesis.txt").write_text("do not delete")
    with pytest.raises(InputError, match="not a store"):
        StoreWriter(store.path.parent / "other", INFO, overwrite=True)


def test_damaged_shard_is_named(store):
    store, _ = store
    shard = sorted((store.path / "shards").iterdir())[1]
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"part-00001\.parquet is damaged"):
        GalaxyStore.open(store.path)


def test_empty_store(tmp_path):
    with StoreWriter(tmp_path / "store", INFO):
        pass
    store = GalaxyStore.open(tmp_path / "store")
    assert len(store) == 0 and len(store.read()) == 0


def test_stream_visits_each_row_once_and_resumes(store):
    store, _ = store
    rows = store.rows("train")
    stream = Stream(store, rows, batch=32, seed=5, pool=2)
    ids = [b.object_id for b in stream.epoch(0)]
    seen = np.concatenate(ids)
    assert len(seen) == len(rows) // 32 * 32 and len(np.unique(seen)) == len(seen)
    again = [b.object_id for b in stream.epoch(0, start=3)]
    assert all((a == b).all() for a, b in zip(ids[3:], again, strict=True))
    assert not (np.concatenate([b.object_id for b in stream.epoch(1)]) == seen).all()


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_each_batch(store, world):
    store, _ = store
    rows = store.rows("train")
    whole = list(Stream(store, rows, batch=30, seed=5).epoch(0))
    parts = [list(Stream(store, rows, batch=30, seed=5, rank=r, world=world).epoch(0)) for r in range(world)]
    for i, batch in enumerate(whole):
        together = np.concatenate([p[i].object_id for p in parts])
        assert sorted(together) == sorted(batch.object_id)


def test_splits_keep_neighbours_together_and_are_stable():
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(59, 62, 4000), rng.uniform(-50, -48, 4000)
    split = assign_splits(ra, dec, (0.7, 0.1, 0.2), order=7, seed=3)
    assert (split[:50] == assign_splits(ra[:50], dec[:50], (0.7, 0.1, 0.2), order=7, seed=3)).all()
    shifted = assign_splits(ra + 1e-7, dec, (0.7, 0.1, 0.2), order=7, seed=3)
    assert (split == shifted).mean() > 0.999
    many = assign_splits(rng.uniform(0, 360, 20000), rng.uniform(-60, 60, 20000), order=7, seed=3)
    assert abs((many == "train").mean() - 0.7) < 0.03
    with pytest.raises(ValueError, match="sum to one"):
        assign_splits(ra, dec, (0.7, 0.2, 0.2))


def test_pixels_have_no_dictionary_and_light_columns_keep_theirs(store):
    import pyarrow.parquet as pq

    file = next((store[0].path / "shards").glob("*.parquet"))
    group = pq.read_metadata(file).row_group(0)
    columns = {c.path_in_schema.split(".")[0]: c for c in map(group.column, range(group.num_columns))}
    assert not columns["image_VIS"].has_dictionary_page
    assert not columns["image_VIS"].is_stats_set
    assert columns["split"].has_dictionary_page
    assert columns["object_id"].statistics.has_min_max


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(-60, 30), st.sampled_from([1e-3, 1.0, 30.0, 5e4]))
def test_float16_is_that_of_numpy(seed, power, size):
    rng, scale = np.random.default_rng(seed), 2.0**power
    values = (rng.normal(0, size, 500) * rng.choice([0.0, 1e-7, 1e-4, 1.0], 500)).clip(-6e4, 6e4)
    values = np.concatenate([values, [2048.0 + 1, 2048.0 + 3, -(2.0**-24), 2.0**-25]]).astype(np.float32)
    bits, work = np.empty(len(values), np.uint16), np.empty((2, len(values)), np.uint32)
    to_half(values * np.float32(scale), scale, bits, work)
    want = values.astype(np.float16)
    normal = np.abs(want.astype(np.float32)) >= 2.0**-14
    np.testing.assert_array_equal(bits[normal], want.view(np.uint16)[normal])
    # Below 2**-14 of the unit float32's own rounding comes first: at a tie the last bit (2**-24) may differ.
    assert np.abs(bits[~normal].astype(int) - want.view(np.uint16)[~normal].astype(int)).max(initial=0) <= 1
    back = np.empty_like(values)
    from_half(bits, scale, back, work[0])
    np.testing.assert_array_equal(back, bits.view(np.float16).astype(np.float32) * np.float32(scale))


def test_stores_of_the_first_version_are_read(store):
    store, galaxies = store
    for shard in (store.path / "shards").iterdir():
        table = pq.read_table(shard)
        for b in ("VIS", "H"):
            kind = pa.list_(pa.float16(), 64)
            rows = [None if v is None else np.frombuffer(v, "<f2") for v in table[f"image_{b}"].to_pylist()]
            at = table.schema.get_field_index(f"image_{b}")
            table = table.set_column(at, f"image_{b}", pa.array(rows, kind))
        pq.write_table(table, shard, row_group_size=256)
    card = json.loads((store.path / "store.json").read_text())
    (store.path / "store.json").write_text(json.dumps(card | {"schema_version": 1}))
    old = GalaxyStore.open(store.path).read(np.array([3, 1499, 700]))
    new = galaxies.take(np.array([3, 1499, 700]))
    for b in ("VIS", "H"):
        np.testing.assert_array_equal(old.masks[b], new.masks[b])
        np.testing.assert_allclose(old.images[b], new.images[b], rtol=2**-11, atol=1e-9)
    (store.path / "store.json").write_text(json.dumps(card | {"schema_version": 99}))
    with pytest.raises(InputError, match="schema version 99"):
        GalaxyStore.open(store.path)
