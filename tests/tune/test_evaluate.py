"""The validation cases of a fold: found, loaded, predicted in every setting; what is missing is named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.model import load_model
from nnunetv2_factorizer.models.trained import TrainedModel, read_model, trained_network
from nnunetv2_factorizer.tune import evaluate
from nnunetv2_factorizer.tune.evaluate import ValidationCase, load_case, measure, timed_logits, validation_cases
from nnunetv2_factorizer.tune.settings import TRAINED, WITHOUT_NMF
from nnunetv2_factorizer.tune.tuning import settings_of
from tests.models.conftest import make_checkpoint
from tests.tune.conftest import SPACING

CPU = torch.device("cpu")
SIZE = (8, 16, 20)
CASES = ("a", "b", "c")


@pytest.fixture
def preprocessed(model: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three cases as nnU-Net's preprocessing leaves them; fold 0 validates on `b` and `a`, fold 1 on `c`."""
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path / "preprocessed"))
    base = tmp_path / "preprocessed" / model.plans["dataset_name"]
    (base / "data").mkdir(parents=True)
    (base / "gt_segmentations").mkdir()
    rng = np.random.default_rng(0)
    shapes = {"shape_before_cropping": SIZE, "shape_after_cropping_and_before_resampling": SIZE}
    properties = shapes | {"spacing": list(SPACING), "bbox_used_for_cropping": [[0, length] for length in SIZE]}
    for name in CASES:
        data, seg = rng.normal(size=(2, *SIZE)).astype(np.float32), np.zeros((1, *SIZE), dtype=np.int16)
        seg[0, 3:7, 5:12, 4:9] = 1
        chunks = ((1, *SIZE), (1, *SIZE))
        nnUNetDatasetBlosc2.save_case(data, seg, properties, str(base / "data" / name), *chunks, *chunks)
        image = sitk.GetImageFromArray(seg[0])
        image.SetSpacing(SPACING[::-1])
        sitk.WriteImage(image, str(base / "gt_segmentations" / f"{name}.nii.gz"))
    splits = [{"train": ["c"], "val": ["b", "a"]}, {"train": ["a", "b"], "val": ["c"]}]
    (base / "splits_final.json").write_text(json.dumps(splits))
    return base


@pytest.fixture
def predictors(model: TrainedModel) -> dict[str, nnUNetPredictor]:
    options: dict[str, Any] = {"use_mirroring": False, "allow_tqdm": False}
    return {fold: load_model(model.folder, [fold], "checkpoint_final.pth", CPU, **options) for fold in ("0", "1")}


def test_cases_are_those_of_each_fold(model: TrainedModel, preprocessed: Path) -> None:
    assert validation_cases(model) == [ValidationCase("0", "a"), ValidationCase("0", "b"), ValidationCase("1", "c")]
    assert validation_cases(model, 1) == [ValidationCase("0", "a"), ValidationCase("1", "c")]


@pytest.mark.parametrize(
    "missing", ["splits_final.json", "data", "gt_segmentations", "gt_segmentations/b.nii.gz", "data/b.b2nd"]
)
def test_what_is_missing_is_named(model: TrainedModel, preprocessed: Path, missing: str) -> None:
    (preprocessed / missing).rename(preprocessed / "moved")
    name = missing.removesuffix(".b2nd")
    with pytest.raises(UserError, match=rf"{preprocessed / name} does not exist.*\nSet nnUNet_preprocessed"):
        validation_cases(model)


def test_fold_without_validation_cases(
    folder: Path, trainer: type[nnUNetTrainer], plans: dict[str, Any], preprocessed: Path
) -> None:
    (folder / "fold_all").mkdir()
    torch.save(make_checkpoint(trainer, plans, "3d_fullres"), folder / "fold_all" / "checkpoint_final.pth")
    everything = read_model(folder, ["all"], "checkpoint_final.pth")
    with pytest.raises(UserError, match=r"fold all has no validation cases .*\nGive some of the folds 0 to 1 with -f"):
        validation_cases(everything)


def test_case_is_the_preprocessed_one_with_its_truth(
    model: TrainedModel, preprocessed: Path, predictors: dict[str, nnUNetPredictor]
) -> None:
    case = load_case(model, predictors["0"], "a")
    assert case.data.shape == (2, *SIZE)
    assert case.truth.sum() == 4 * 7 * 5
    assert case.spacing == pytest.approx(SPACING)


def test_cascade_gets_the_previous_stage(
    model: TrainedModel, preprocessed: Path, predictors: dict[str, nnUNetPredictor]
) -> None:
    predictor = predictors["0"]
    predictor.configuration_manager.configuration["previous_stage"] = "3d_lowres"
    previous = model.folder.with_name("nnUNetTrainerConvFactorizer__nnUNetPlans__3d_lowres") / "predicted_next_stage"
    (previous / "3d_fullres").mkdir(parents=True)
    seg = np.zeros(SIZE, dtype=np.uint8)
    seg[2:5] = 1
    nnUNetDatasetBlosc2.save_seg(seg, str(previous / "3d_fullres" / "a"))
    data = load_case(model, predictor, "a").data
    assert data.shape == (3, *SIZE)
    assert torch.equal(data[2], torch.from_numpy(seg).float())


def test_logits_are_those_of_nnunet(
    model: TrainedModel, preprocessed: Path, predictors: dict[str, nnUNetPredictor], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = predictors["1"]
    data = load_case(model, predictor, "c").data
    expected = predictor.predict_logits_from_preprocessed_data(data)
    monkeypatch.setenv("nnUNet_compile", "t")  # is not listened to
    network = trained_network(model, "1", CPU)
    loaded: list[Any] = []
    monkeypatch.setattr(network, "load_state_dict", loaded.append)
    logits, seconds = timed_logits(predictor, network, data)
    assert torch.equal(logits, expected)
    assert not loaded  # the time to load weights is not that of the window
    assert seconds > 0


def test_settings_take_turns_and_each_fold_has_its_model(
    model: TrainedModel,
    preprocessed: Path,
    predictors: dict[str, nnUNetPredictor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    networks = []
    original = evaluate.timed_logits

    def recorded(predictor: nnUNetPredictor, network: Any, data: torch.Tensor) -> Any:
        networks.append((network.encoder.stem.weight.clone(), data.shape[1:]))
        return original(predictor, network, data)

    monkeypatch.setattr(evaluate, "timed_logits", recorded)
    settings = settings_of(model, ["skip"])[:2]
    table = measure(model, predictors, validation_cases(model), settings, show_progress=False)
    assert table["setting"].tolist() == [TRAINED, WITHOUT_NMF, WITHOUT_NMF, TRAINED, TRAINED, WITHOUT_NMF]
    assert table["case"].tolist() == ["a", "a", "b", "b", "c", "c"]
    assert [shape for _, shape in networks] == [(8, 16, 16)] * 2 + [SIZE] * 6  # warm-up on a tile each
    stems = {fold: c["network_weights"]["encoder.stem.weight"] for fold, c in model.checkpoints.items()}
    assert not torch.equal(stems["0"], stems["1"])
    for fold, (weight, _) in zip(table["fold"], networks[2:], strict=True):
        assert torch.equal(weight, stems[fold])
    assert table["dice"].between(0, 1).all()
    assert (table["seconds"] > 0).all()
    assert table["labels"][0]["lesion"] == {"dice": table["dice"][0], "hd95": table["hd95"][0]}
