"""Embeddings that do not depend on how a galaxy lies on the sky."""

from dataclasses import replace

import numpy as np
import pytest

from euclidfm.core.errors import InputError
from euclidfm.embeddings import EmbeddingTable, embed
from euclidfm.model import FoundationModel
from samples import SMALL, VIS, blobs, write_store

CONFIG = replace(SMALL, images=(VIS,), heads=2)


def test_the_mean_over_eight_turns_does_not_depend_on_the_position_angle(tmp_path):
    galaxies = blobs(12)
    galaxies.images["VIS"][:, 3:5, 2:9] += 0.2  # not round any more
    turned = replace(
        galaxies, images={b: np.rot90(v, axes=(1, 2)).copy() for b, v in galaxies.images.items()}
    )
    stores = [write_store(tmp_path / n, g) for n, g in (("a", galaxies), ("b", turned))]
    model = FoundationModel(CONFIG).eval()
    once = [embed(model, s).by_modality["VIS"] for s in stores]
    mean = [embed(model, s, symmetries=8) for s in stores]
    assert np.abs(once[0] - once[1]).max() > 1e-3
    for space in ("VIS", "SED"):
        np.testing.assert_allclose(mean[0].by_modality[space], mean[1].by_modality[space], atol=1e-5)
    np.testing.assert_allclose(mean[0].vectors, mean[1].vectors, atol=1e-5)
    assert mean[0].info["symmetries"] == 8
    np.testing.assert_allclose(mean[0].spaces["shape"], mean[1].spaces["shape"], atol=1e-4)
    assert mean[0].spaces["shape"].shape == (12, 64) and (mean[0].spaces["shape"][:, 32:] >= 0).all()
    assert "shape" not in embed(model, stores[0]).spaces
    mean[0].write(tmp_path / "e.parquet")
    again = EmbeddingTable.read(tmp_path / "e.parquet")
    np.testing.assert_array_equal(again.spaces["shape"], mean[0].spaces["shape"])
    assert set(again.by_modality) == {"VIS", "SED"} and "space_shape" not in again.columns
    assert again.take(np.arange(3)).updated(again).spaces["shape"].shape == (12, 64)
    with pytest.raises(InputError, match="symmetries must be from 1 to 8"):
        embed(model, stores[0], symmetries=9)
