"""A file or a folder is written whole or not at all."""

import fcntl
import os
from pathlib import Path

import pytest

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.atomic import new_folder, replacing


def test_is_open_for_writing_when_it_is_synchronised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Windows demands."""
    modes = []
    monkeypatch.setattr("os.fsync", lambda file: modes.append(fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE))
    with replacing(str(tmp_path / "file")) as unfinished:
        Path(unfinished).write_text("new", encoding="utf-8")
    assert modes == [os.O_RDWR]


def test_takes_the_place_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with replacing(str(path)) as unfinished:
        Path(unfinished).write_text("new", encoding="utf-8")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_one_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write() -> None:
        with replacing(str(path)) as unfinished:
            Path(unfinished).write_text("ne", encoding="utf-8")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_writes_nothing_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with replacing(str(path)):
        pass
    assert path.read_text() == "old"


def test_new_folder_is_there_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "target"
    with pytest.raises(RuntimeError, match="full"), new_folder(target) as folder:  # noqa: PT012
        (folder / "half").touch()
        raise RuntimeError("full")
    assert list((tmp_path / "deep").iterdir()) == []
    with new_folder(target) as folder:
        (folder / "file").touch()
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["file"]
    with pytest.raises(UserError, match=r"exists and was not changed\.\nGive another"), new_folder(target):
        pass
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["target"]
