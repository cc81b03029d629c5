"""Teaching by photometry: on where it wins by left-out error, else off; blind to other splits."""

import numpy as np

import euclidfm as ef
from colours import sky, table
from euclidfm.tasks.fusion.taught import fit_taught
from euclidfm.tasks.heads.ridge import RidgeHead


def with_images(n, seed=0):
    """Photometry that tells the redshift, and vectors of which one number in thirty tells it."""
    photometry, vectors, y = sky(n, seed=seed)
    vectors[:, 0] = (y - y.mean()) / y.std() + 0.2 * vectors[:, 0]
    return photometry, vectors, y


def test_few_labels_are_multiplied():
    photometry, vectors, y = with_images(500)
    few, rest, test = slice(0, 40), slice(40, 300), slice(300, 500)
    taught, lesson = fit_taught(
        [("VIS", 30)], vectors[few], photometry[few], y[few], vectors[rest], photometry[rest]
    )
    assert lesson.used and lesson.unlabelled == 260 and 0.3 < lesson.weight < 1
    assert lesson.error_without - lesson.error > lesson.standard_error
    alone, none = fit_taught(
        [("VIS", 30)], vectors[few], photometry[few], y[few], vectors[:0], photometry[:0]
    )
    assert none is None
    error = [np.abs(f.predict(vectors[test]) - y[test]).mean() for f in (taught, alone)]
    assert error[0] < error[1]


def test_a_teacher_that_knows_nothing_is_not_heard():
    photometry, vectors, y = with_images(300)
    photometry = np.random.default_rng(0).permutation(photometry)
    few, rest = slice(0, 40), slice(40, 300)
    fitted, lesson = fit_taught(
        [("VIS", 30)], vectors[few], photometry[few], y[few], vectors[rest], photometry[rest]
    )
    plain = fit_taught([("VIS", 30)], vectors[few], photometry[few], y[few], vectors[:0], photometry[:0])[0]
    assert not lesson.used and lesson.weight < 0.5
    np.testing.assert_array_equal(fitted.predict(vectors), plain.predict(vectors))


def test_the_probe_learns_from_no_other_split(tmp_path):
    photometry, vectors, y = with_images(400)
    emb = table(photometry, vectors)
    z = np.where(np.arange(400) % 16 < 2, np.expm1(y), np.nan)  # a quarter of the training galaxies
    labels = {"object_id": emb.object_id, "z_spec": z}
    probe = ef.tasks.photoz.fit(emb, labels, head="fusion", use=("VIS",))
    assert probe.info["taught"]["used"] and probe.info["taught"]["unlabelled"] == 150
    changed = table(photometry.copy(), vectors)
    outside = changed.split != "train"
    changed.spaces["photometry"][outside] *= 3.0
    again = ef.tasks.photoz.fit(changed, labels, head="fusion", use=("VIS",))
    np.testing.assert_array_equal(again.predict_array(emb), probe.predict_array(emb))
    both = ef.tasks.photoz.fit(emb, labels, head="fusion")
    assert both.info["taught"] is None


def test_weights_count_galaxies():
    """Weight two is the galaxy twice, if the penalty is the same."""
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(30, 4)), rng.normal(size=30)
    case = rng.integers(1, 3, 30).astype(float)
    once, twice = RidgeHead(robust=False), RidgeHead(robust=False)
    once.fit(X, X[:, 0] + 0.0 * y, case)
    twice.fit(np.repeat(X, case.astype(int), axis=0), np.repeat(X[:, 0], case.astype(int)))
    np.testing.assert_allclose(once.predict(X), twice.predict(X), atol=1e-5)
