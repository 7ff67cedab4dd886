"""Which images a fold was trained on, and what is said where that cannot be found out."""

import json
from pathlib import Path

import pytest

from nnunetv2_factorizer.concepts.training_images import training_cases
from nnunetv2_factorizer.errors import UserError
from tests.concepts.regions import make_predictor
from tests.training.small_trainer import DATASET, ENDING

SPLITS = [{"train": ["b", "a"], "val": ["c"]}]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Raw data of three cases in two channels, without labels that could be opened, and splits."""
    images = tmp_path / "raw" / DATASET / "imagesTr"
    images.mkdir(parents=True)
    for case in "abc":
        for channel in range(2):
            (images / f"{case}_{channel:04d}{ENDING}").touch()
    (tmp_path / "preprocessed" / DATASET).mkdir(parents=True)
    splits(tmp_path).write_text(json.dumps(SPLITS))
    for kind in ("raw", "preprocessed"):
        monkeypatch.setenv(f"nnUNet_{kind}", str(tmp_path / kind))
    return tmp_path


def splits(folder: Path) -> Path:
    return folder / "preprocessed" / DATASET / "splits_final.json"


def test_training_part_and_all(folder: Path) -> None:
    predictor = make_predictor("PlainConvUNet", 3)
    part, everything = training_cases(predictor, "0"), training_cases(predictor, "all")
    assert [case.name for case in part] == ["b", "a"]
    assert [case.name for case in everything] == ["a", "b", "c"]
    assert [Path(file).name for file in part[0].images] == [f"b_0000{ENDING}", f"b_0001{ENDING}"]


def test_images_that_stay_where_they_are(folder: Path) -> None:
    """As `nnUNetv2_factorizer_unlabelled` registers them: there is no imagesTr, and no file of labels."""
    raw = folder / "raw" / DATASET
    raw.joinpath("imagesTr").rename(folder / "archive")
    files = [str(folder / "archive" / f"b_{channel:04d}{ENDING}") for channel in range(2)]
    listed = {"site_b": {"images": files, "label": "labelsTr/no_labels_of_site_b"}}
    raw.joinpath("dataset.json").write_text(json.dumps({"file_ending": ENDING, "dataset": listed}))
    (case,) = training_cases(make_predictor("PlainConvUNet", 3), "all")
    assert case.name == "site_b"
    assert list(case.images) == files


def test_what_is_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = make_predictor("PlainConvUNet", 3)
    with pytest.raises(UserError, match=r"has 1 folds, and no fold 3\.\nGive a folder"):
        training_cases(predictor, "3")
    splits(folder).write_text(json.dumps([{"train": ["a", "d"], "val": []}]))
    with pytest.raises(UserError, match=r"^1 images of fold 0, such as d, are not in .*\nBring them back"):
        training_cases(predictor, "0")
    splits(folder).unlink()
    with pytest.raises(UserError, match=r"splits_final\.json does not exist\.\nSet nnU-Net's variables"):
        training_cases(predictor, "0")
    monkeypatch.delenv("nnUNet_raw")
    with pytest.raises(UserError, match=r"^nnUNet_raw is not set\.\nSet"):
        training_cases(predictor, "all")
