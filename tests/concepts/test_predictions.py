"""A folder of predictions: its record, and its images beside labels."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_factorizer.concepts.predictions import PredictionRecord, tables
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.labels import label_names

DESCRIPTION = {"labels": {"background": 0, "lesion": 1, "ignore": 2}, "file_ending": ".nii.gz"}


def write(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(array.astype(np.uint8)), str(path))


def record(**changes: object) -> PredictionRecord:
    values: dict = {"dictionary_sha256": "sha", "mode": "fixed", "categories": 3, "names": {2: "b"}, "cases": {}}
    return PredictionRecord(**(values | changes))


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ({"background": 0, "b": 2, "a": 1}, {"background": 0, "a": 1, "b": 2}),
        ({"background": 0, "whole": [1, 2], "core": [2]}, {"background": 0, "1": 1, "2": 2}),
        ({"background": 0, "whole": [1, 2], "core": 2}, {"background": 0, "1": 1, "core": 2}),
    ],
)
def test_names_of_labels(labels: dict, names: dict) -> None:
    assert label_names({"labels": labels}) == (names, None)
    assert label_names({"labels": labels | {"ignore": 9}}) == (names, 9)


def test_voxels_of_the_ignore_label_do_not_count(tmp_path: Path) -> None:
    truth, found = (np.random.default_rng(0).integers(n, size=(3, 4, 5)) for n in (3, 4))
    write(tmp_path / "found" / "a.nii.gz", found)
    write(tmp_path / "truth" / "a.nii.gz", truth)
    record(cases={"a": {0: 60}}).save(tmp_path / "found")
    read, counted = tables(tmp_path / "found", tmp_path / "truth", DESCRIPTION)
    assert read.names == {2: "b"}
    for category, label in np.ndindex(4, 2):
        assert counted["a"][category, label] == ((found == category) & (truth == label)).sum()


def test_what_cannot_be_evaluated(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"concepts\.json does not exist\.\nGive the folder"):
        tables(tmp_path, tmp_path, DESCRIPTION)
    record().save(tmp_path)
    with pytest.raises(UserError, match=r"is not finished\.\nRun .* --continue_prediction"):
        tables(tmp_path, tmp_path, DESCRIPTION)
    record(cases={"a": {0: 1}}).save(tmp_path)
    with pytest.raises(UserError, match=r"a\.nii\.gz does not exist\.\nGive labels of all"):
        tables(tmp_path, tmp_path, DESCRIPTION)
    (tmp_path / "concepts.json").write_text('{"mode": "fixed"}')
    with pytest.raises(UserError, match=r"concepts\.json is damaged"):
        tables(tmp_path, tmp_path, DESCRIPTION)
