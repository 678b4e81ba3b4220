"""Files that take the place of others, whole or not at all."""

import os

import pytest

from pycograd.core.files import replacing


def test_a_new_file_is_like_any_other(tmp_path):
    with replacing(tmp_path / "a.txt") as new:
        assert os.path.dirname(new) == str(tmp_path) and new.endswith(".txt")
        with open(new, "w") as file:
            file.write("one")
        assert os.path.exists(new) and not (tmp_path / "a.txt").exists()
    (tmp_path / "b.txt").touch()
    assert (tmp_path / "a.txt").read_text() == "one"
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "b.txt"]


def test_what_was_there_keeps_its_permissions_and_its_links(tmp_path):
    place, link = tmp_path / "a", tmp_path / "link"
    place.write_text("one")
    place.chmod(0o640)
    link.symlink_to(place)
    with replacing(link) as new, open(new, "w") as file:
        file.write("two")
    assert link.is_symlink() and place.read_text() == "two"
    assert place.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("error", [OSError("no space"), KeyboardInterrupt()])
def test_a_block_that_fails_leaves_what_was_there(tmp_path, error):
    (tmp_path / "a").write_text("one")
    with pytest.raises(type(error)), replacing(tmp_path / "a") as new:
        with open(new, "w") as file:
            file.write("tw")
        raise error
    assert (tmp_path / "a").read_text() == "one" and os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize(("asked", "said"), [((), "^there is"), (("save",), "^save: there is")])
def test_a_folder_that_is_not_there(tmp_path, asked, said):
    missing = pytest.raises(FileNotFoundError, match=f"{said} no folder .*none to write a in")
    with missing, replacing(tmp_path / "none" / "a", *asked):
        raise AssertionError("the block has begun")
