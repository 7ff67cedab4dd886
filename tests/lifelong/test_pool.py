"""The manifest: the same when it is read again, and refused where it does not say what is there."""

import json
from pathlib import Path

import numpy as np
import pytest

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.lifelong.pool import CHECKPOINT, read_pool
from nnunetv2_factorizer.lifelong.prediction import take
from tests.lifelong.stages import features, training, write_pool


def test_read_again(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool")
    (tmp_path / "pool").rename(tmp_path / "elsewhere")  # as a whole
    again = read_pool(tmp_path / "elsewhere")
    assert (again.members, again.eye, again.method) == (pool.members, pool.eye, pool.method)
    np.testing.assert_array_equal(again.stages[1].seen.held_out, pool.stages[1].seen.held_out)
    z = training(features(3))
    assert take(again, z) == take(pool, z)


def test_a_model_that_was_moved_or_changed(tmp_path: Path) -> None:
    pool = write_pool(tmp_path)
    file = pool.members[1].model.checkpoint(tmp_path)
    file.write_bytes(b"trained again")
    with pytest.raises(UserError, match=r"checkpoint_final.pth was changed after its stage") as caught:
        read_pool(tmp_path)
    assert pool.members[1].model.sha256 in caught.value.remedy
    file.unlink()
    with pytest.raises(UserError, match="the model was moved or deleted") as caught:
        read_pool(tmp_path)
    assert "a pool is moved or copied as a whole" in caught.value.remedy
    assert CHECKPOINT in caught.value.cause


def test_a_manifest_of_a_newer_version_a_damaged_one_and_none(tmp_path: Path) -> None:
    write_pool(tmp_path)
    file = tmp_path / "pool.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {"version": 2, "nnunetv2-factorizer": "9.0"}))
    with pytest.raises(UserError, match=r"is of version 2, written by nnunetv2-factorizer 9\.0") as caught:
        read_pool(tmp_path)
    assert caught.value.remedy == "Install nnunetv2-factorizer 9.0 or newer."
    for text in (file.read_text()[:100], "[]", json.dumps(record | {"members": [{}]})):
        file.write_text(text)
        with pytest.raises(UserError, match="is damaged: ") as caught:
            read_pool(tmp_path)
        assert "from a copy" in caught.value.remedy
    file.unlink()
    with pytest.raises(UserError, match="is no pool of models") as caught:
        read_pool(tmp_path)
    assert "nnUNetv2_factorizer_lifelong train" in caught.value.remedy


def test_a_manifest_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = write_pool(tmp_path)
    before = (tmp_path / "pool.json").read_bytes()

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        pool.save(tmp_path)
    assert (tmp_path / "pool.json").read_bytes() == before
    assert not list(tmp_path.glob(".*"))
