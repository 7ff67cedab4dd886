"""From preprocessed cases to statistics and scores: what is held out, groups, and what is missing."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.screen import Statistics, score_image
from nnunetv2_factorizer.screen.features import early_features
from nnunetv2_factorizer.screen.fitting import fit_statistics
from nnunetv2_factorizer.screen.statistics import Entry
from tests.concepts.regions import make_predictor
from tests.screen.cases import CASES, CHECKPOINT, as_tensor, make_image, noisy, write_model, write_preprocessed


@pytest.fixture(scope="module")
def predictor() -> nnUNetPredictor:
    return make_predictor("PlainConvUNet", 3)


@pytest.fixture
def preprocessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the data set."""
    return write_preprocessed(tmp_path, monkeypatch)


def fit(predictor: nnUNetPredictor, tmp_path: Path, fold: str = "0", column: str | None = None) -> Statistics:
    return fit_statistics(predictor, write_model(tmp_path, fold), fold, CHECKPOINT, column)


def features(predictor: nnUNetPredictor, cases: list[str]) -> Any:
    return np.stack([early_features(predictor, as_tensor(make_image(CASES.index(case)))) for case in cases])


def test_fold(predictor: nnUNetPredictor, preprocessed: Path, tmp_path: Path) -> None:
    statistics = fit(predictor, tmp_path)
    assert list(statistics.held_out) == CASES
    assert [entry.cases for entry in statistics.entries] == [12]
    assert max(statistics.held_out.values()) == 1  # of fewer than 20 cases the largest distance is the unit
    # A validation case: against all training cases. A training case: without its fifth.
    train = CASES[:12]
    of_validation = Entry.of(features(predictor, train)).distance(features(predictor, [CASES[13]])[0])
    assert statistics.held_out[CASES[13]] * statistics.unit == pytest.approx(of_validation)
    others = [case for number, case in enumerate(train) if number % 5 != 2]
    of_training = Entry.of(features(predictor, others)).distance(features(predictor, [CASES[7]])[0])
    assert statistics.held_out[CASES[7]] * statistics.unit == pytest.approx(of_training)


def test_scores(predictor: nnUNetPredictor, preprocessed: Path, tmp_path: Path) -> None:
    statistics = fit(predictor, tmp_path)
    image = make_image(3)
    usual, unusual = (score_image(predictor, as_tensor(x), statistics) for x in (image, noisy(image)))
    assert not usual.shifted
    assert usual.reasons == []
    assert unusual.shifted
    assert unusual.distance > 1 > usual.distance
    assert unusual.reasons[0] in ("channel0: more noise", "channel1: more noise")
    assert not score_image(predictor, as_tensor(noisy(image)), statistics, threshold=1e6).shifted
    assert score_image(predictor, as_tensor(noisy(image)), statistics) == unusual
    with pytest.raises(UserError, match=r"^the image has 1 channels, the training cases had 2\.\nGive"):
        score_image(predictor, as_tensor(image[:1]), statistics)
    other = dataclasses.replace(statistics, entries=(Entry.of(np.random.default_rng(0).normal(size=(5, 3))),))
    with pytest.raises(UserError, match=r"^the statistics are of 3 features, .*another version made them\.\nMake them"):
        score_image(predictor, as_tensor(image), other)


def test_fold_all(predictor: nnUNetPredictor, preprocessed: Path, tmp_path: Path) -> None:
    (preprocessed / "splits_final.json").unlink()
    statistics = fit(predictor, tmp_path, "all")
    assert statistics.entries[0].cases == len(statistics.held_out) == len(CASES)


def test_groups(predictor: nnUNetPredictor, preprocessed: Path, tmp_path: Path) -> None:
    """Of two groups, the nearest counts and is named."""
    metadata = {case: {"site": "AB"[number % 2]} for number, case in enumerate(CASES)}
    (preprocessed / "case_metadata.json").write_text(json.dumps(metadata))
    statistics = fit(predictor, tmp_path, column="site")
    assert [(entry.value, entry.cases) for entry in statistics.entries] == [("A", 6), ("B", 6)]
    for number in (0, 1):
        score = score_image(predictor, as_tensor(make_image(number)), statistics)
        assert score.nearest == "AB"[number]
        each = [entry.distance(features(predictor, [CASES[number]])[0]) for entry in statistics.entries]
        assert score.distance * statistics.unit == pytest.approx(min(each))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, r"case_metadata\.json does not exist"),
        ({case: {"site": "A"} for case in CASES}, r"a single value, 'A', in the column 'site'"),
        ({case: {"site": "A"} for case in CASES[1:]}, r"lacks 1 of 12 cases, such as case_00"),
        ({case: {"stage": 1} for case in CASES}, r"does not give case_00 the column 'site'; columns there: stage"),
        (
            {case: {"site": "B" if case == CASES[0] else "A"} for case in CASES},
            r"^there are 1 training cases of fold 0 with site 'B'\.\nAt least 4 .* Leave out --by",
        ),
    ],
)
def test_groups_that_are_none(
    predictor: nnUNetPredictor, preprocessed: Path, tmp_path: Path, metadata: Any, message: str
) -> None:
    if metadata is not None:
        (preprocessed / "case_metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(UserError, match=message):
        fit(predictor, tmp_path, column="site")


def test_one_case_only(predictor: nnUNetPredictor, preprocessed: Path, tmp_path: Path) -> None:
    (preprocessed / "splits_final.json").write_text(json.dumps([{"train": CASES[:1], "val": CASES[1:2]}]))
    with pytest.raises(UserError, match=r"^there are 1 training cases of fold 0\.\nAt least 4 are needed"):
        fit(predictor, tmp_path)


def test_what_is_missing(
    predictor: nnUNetPredictor, preprocessed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"has 1 folds, and no fold 3\.\nBring back the splits"):
        fit(predictor, tmp_path, "3")
    data = preprocessed / "nnUNetPlans_3d_fullres"
    for path in data.glob("case_05*"):
        path.unlink()
    with pytest.raises(
        UserError, match=r"^1 of \d+ cases of fold 0, such as case_05, are not in .*\nSet nnUNet_preproc"
    ):
        fit(predictor, tmp_path)
    (preprocessed / "splits_final.json").unlink()
    with pytest.raises(
        UserError, match=r"splits_final\.json does not exist, but the screen needs .*\nSet nnUNet_preprocessed"
    ):
        fit(predictor, tmp_path)
    data.rename(tmp_path / "elsewhere")
    with pytest.raises(
        UserError, match=r"nnUNetPlans_3d_fullres does not exist, but the screen needs .*\nSet nnUNet_preprocessed"
    ):
        fit(predictor, tmp_path)
    monkeypatch.delenv("nnUNet_preprocessed")
    with pytest.raises(UserError, match=r"^nnUNet_preprocessed is not set"):
        fit(predictor, tmp_path)


def test_images_that_are_all_the_same(
    predictor: nnUNetPredictor, preprocessed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "nnunetv2_factorizer.screen.fitting.early_features", lambda predictor, data: np.ones(6, np.float64)
    )
    with pytest.raises(UserError, match=r"^all training cases look the same to the network\.\nLook at"):
        fit(predictor, tmp_path)
