"""The files of a dictionary: written whole, read without pickle, refused where they do not fit."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunetv2_factorizer.concepts.dictionary import ARRAYS, DESCRIPTION, Dictionary, ModelIdentity
from nnunetv2_factorizer.errors import UserError
from tests.concepts.regions import IDENTITY, STAGE, make_predictor


def dictionary(k: int = 3, **changes: Any) -> Dictionary:
    rng = np.random.default_rng(0)
    values: dict[str, Any] = {
        "centres": rng.random((k, 16), np.float32),
        "tiles": np.arange(k),
        "nearest_cases": np.array([["a<b>", ""]] * k),
        "nearest_positions": np.zeros((k, 2, 3), np.int32),
        "nearest_distances": np.array([[0.5, np.inf]] * k, np.float32),
        "pictures": rng.integers(255, size=(k, 2, 64, 64)).astype(np.uint8),
        "tile_size": np.array([4, 4, 4], np.int32),
    }
    return Dictionary(**(values | {"stage": STAGE, "cases": 1, "seed": 0, "identity": IDENTITY} | changes))


def test_written_and_read(tmp_path: Path) -> None:
    written = dictionary()
    written.save(tmp_path)
    read = Dictionary.load(tmp_path)
    for field in dataclasses.fields(Dictionary):
        np.testing.assert_array_equal(getattr(read, field.name), getattr(written, field.name))
    record = json.loads((tmp_path / DESCRIPTION).read_text())
    assert (record["categories"], record["channels"], record["stage"]) == (3, 16, STAGE)
    assert record["identity"]["checkpoint_sha256"] == "sha"
    assert "nnunetv2-factorizer" in record


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dictionary\.npz does not exist\.\nGive the folder that"):
        Dictionary.load(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        {"centres": np.array([[object()]])},
        {"centres": -np.ones((3, 16), np.float32)},
        {"centres": np.full((3, 16), np.nan, np.float32)},
        {"centres": np.ones((2, 16), np.float32)},
        {"unknown": np.ones(1)},
    ],
)
def test_damaged_arrays(tmp_path: Path, damage: dict[str, Any]) -> None:
    dictionary().save(tmp_path)
    with np.load(tmp_path / ARRAYS) as arrays:
        np.savez(tmp_path / ARRAYS, **(dict(arrays) | damage))
    with pytest.raises(UserError, match=r"holds no usable dictionary: .*\nMake it again"):
        Dictionary.load(tmp_path)


@pytest.mark.parametrize("name", [ARRAYS, DESCRIPTION])
@pytest.mark.parametrize("content", [b"", b"{}", b"PK\x03\x04"])
def test_damaged_files(tmp_path: Path, name: str, content: bytes) -> None:
    dictionary().save(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match="holds no usable dictionary"):
        Dictionary.load(tmp_path)


@pytest.mark.parametrize(("name", "value"), [("checkpoint_sha256", "other"), ("spacing", [2.0]), ("dataset", "D")])
def test_another_model(name: str, value: Any) -> None:
    other = dataclasses.replace(IDENTITY, **{name: value})
    with pytest.raises(UserError, match=rf"^the dictionary was made for another model: its {name} is .*\nGive"):
        dictionary().check_model(other)


def test_the_same_model_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that was renamed, or that is the working folder."""
    folder = tmp_path / "Dataset997_Small" / "trainer__plans__3d_fullres"
    (folder / "fold_0").mkdir(parents=True)
    (folder / "fold_0" / "checkpoint_final.pth").write_bytes(b"weights")
    monkeypatch.chdir(folder)
    predictor = make_predictor("PlainConvUNet", 3)
    identity = ModelIdentity.of(predictor, Path(), "0", "checkpoint_final.pth")
    assert (identity.model, identity.configuration) == (str(folder), "3d_fullres")
    moved = folder.rename(tmp_path / "best")
    made = dictionary(identity=identity)
    made.check_model(ModelIdentity.of(predictor, moved, "0", "checkpoint_final.pth"))
    (moved / "fold_0" / "checkpoint_final.pth").write_bytes(b"others")
    with pytest.raises(UserError, match="another model: its checkpoint_sha256 is"):
        made.check_model(ModelIdentity.of(predictor, moved, "0", "checkpoint_final.pth"))
