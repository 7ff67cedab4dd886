"""What an output folder may be, and which settings there are."""

from pathlib import Path

import pytest

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.segment.record import RECORD, Record, prepare

MADE = Record("kmeans", 3, 0, ".png", {1: "dark"}, {"a": {"labels": 3}})


def test_comes_back(tmp_path: Path) -> None:
    MADE.save(tmp_path)
    assert Record.load(tmp_path) == MADE


@pytest.mark.parametrize(
    ("method", "k", "message"),
    [
        ("sam", 3, r"there is no method 'sam'\.\nThere are msformer, dfc, factorizer, kmeans, slic, otsu"),
        ("kmeans", 1, r"-k is 1\.\nkmeans takes 2 to 65535"),
        ("kmeans", 70000, r"-k is 70000\. Label maps hold numbers up to 65535\.\nkmeans takes 2 to 65535"),
        ("otsu", 6, r"-k is 6\.\notsu takes 2 to 5"),
        ("msformer", 101, r"-k is 101\.\nmsformer takes 2 to 100"),
    ],
)
def test_settings_that_there_are_not(tmp_path: Path, method: str, k: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        prepare(tmp_path / "out", Record(method, k, 0, ".png"), continuing=False)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_things(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match=r"has other things in it and was not changed\.\nGive another folder with -o"):
        prepare(tmp_path, MADE, continuing=False)
    with pytest.raises(UserError, match=r"segment\.json does not exist"):
        prepare(tmp_path, MADE, continuing=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(UserError, match="has other things in it"):
        prepare(tmp_path / "mine.txt", MADE, continuing=False)


def test_only_the_same_settings_go_on(tmp_path: Path) -> None:
    prepare(tmp_path / "out", MADE, continuing=True)  # nothing there yet is no mistake
    for other in (Record("slic", 3, 0, ".png"), Record("kmeans", 4, 0, ".png"), Record("kmeans", 3, 1, ".png")):
        with pytest.raises(UserError, match=r"was begun with method kmeans, k 3, seed 0, file_ending \.png"):
            prepare(tmp_path / "out", other, continuing=True)
    prepare(tmp_path / "out", Record("kmeans", 3, 0, ".png", {2: "bright"}), continuing=True)
    assert Record.load(tmp_path / "out").names == {2: "bright"}


def test_damaged(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text('{"method": "kmeans"}')
    with pytest.raises(UserError, match=r"segment\.json is damaged"):
        Record.load(tmp_path)
