"""Files are written atomically: the old one or the new one, never half of either."""

import pytest

from euclidfm.core.files import written_aside


def test_a_file_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "new" / "table.csv"
    with written_aside(target) as aside:
        aside.write_text("a,b\n")
        assert aside.suffix == ".csv" and not target.exists()
    assert target.read_text() == "a,b\n" and list(target.parent.iterdir()) == [target]


def test_a_folder_takes_the_place_of_the_old_one(tmp_path):
    target = tmp_path / "index"
    for name in ("old", "new"):
        with written_aside(target) as aside:
            aside.mkdir()
            (aside / name).touch()
    assert [p.name for p in target.iterdir()] == ["new"] and list(tmp_path.iterdir()) == [target]


def test_a_failure_leaves_what_was_there(tmp_path):
    target = tmp_path / "card.json"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), written_aside(target) as aside:
        aside.write_text("ne")
        raise KeyboardInterrupt
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]
