"""`nnUNetv2_factorizer_tune` on a trained model; what it writes is predicted and exported by stock commands."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from nnunetv2_factorizer.ext_trainer import VARIABLE, trainers_folder
from nnunetv2_factorizer.inference.images import find_cases
from nnunetv2_factorizer.inference.labels import foreground
from nnunetv2_factorizer.inference.model import load_model
from nnunetv2_factorizer.models.trained import read_model, trained_network, tuned_network
from nnunetv2_factorizer.tune.metrics import evaluate
from nnunetv2_factorizer.tune.model_folder import write_model
from nnunetv2_factorizer.tune.settings import Setting
from tests.end_to_end.conftest import SWIN
from tests.end_to_end.workspace import PLANS, Workspace
from tests.models.test_model_zip import digests

STANDALONE = f"{PLANS}_ShortSwinFactorizer"


@pytest.fixture(scope="module")
def workspace(phantom: Workspace, trained: Path) -> Workspace:
    """The data with a results folder that holds a copy of the trained model."""
    workspace = phantom.with_results("results_tuned")
    shutil.copytree(trained.parent, workspace.results / trained.parent.name)
    return workspace


def tune(workspace: Workspace, *flags: str, check: bool = True) -> str:
    """What the command said."""
    done = workspace.run(
        "nnUNetv2_factorizer_tune", "-d", workspace.dataset_id, "-c", "3d_fullres", "-tr", SWIN, "-f", "0",
        "-o", str(workspace.folder / "tuned"), "-device", "cpu", "--disable_tta", "--disable_progress_bar", *flags,
        check=check,
    )  # fmt: skip
    return done.stdout if check else done.stderr


@pytest.fixture(scope="module")
def tuned(workspace: Workspace) -> tuple[dict[str, Any], str]:
    """The report, and what the command said; any loss of Dice is allowed, to have something chosen."""
    before = digests(workspace.results)
    said = tune(workspace, "--sweep", "rank", "--budget-drop", "1")
    report = json.loads((workspace.folder / "tuned" / "tune.json").read_text())
    after = digests(workspace.results)
    assert {path: after[path] for path in before} == before
    return report, said


def assert_predicts_like_the_setting(workspace: Workspace, setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stock `nnUNetv2_predict`, without our trainers, beside the adapted network in nnU-Net's predictor, bit by bit."""
    plans = f"{STANDALONE}_{setting.name}"
    stock = workspace.predict(
        "nnUNetTrainer", f"stock_{setting.name}", "--save_probabilities", plans=plans, nnUNet_extTrainer=None
    )
    trainers = f"{trainers_folder()}:{Path(__file__).parent / 'trainers'}"
    monkeypatch.setenv(VARIABLE, trainers)
    folder, cpu = workspace.fold(SWIN).parent, torch.device("cpu")
    model = read_model(folder, ["0"], "checkpoint_final.pth")
    predictor = load_model(folder, ["0"], "checkpoint_final.pth", cpu, use_mirroring=False, allow_tqdm=False)
    weights = trained_network(model, "0", cpu).state_dict()
    predictor.network = tuned_network(model, setting.changes, weights)
    predictor.list_of_parameters = [predictor.network.state_dict()]
    torch.set_num_threads(1)  # as nnU-Net does with nnUNet_def_n_proc=1
    cases, adapted = find_cases(workspace.raw / "imagesTs", ".nii.gz"), workspace.folder / f"adapted_{setting.name}"
    adapted.mkdir()
    targets = [str(adapted / case.name) for case in cases]
    predictor.predict_from_files_sequential([list(case.images) for case in cases], targets, save_probabilities=True)
    assert len(targets) == 2
    for target in targets:
        expected, actual = (np.load(f"{path}.npz")["probabilities"] for path in (target, stock / Path(target).name))
        np.testing.assert_array_equal(actual, expected)


def test_report_has_every_setting_and_case(workspace: Workspace, tuned: tuple[dict[str, Any], str]) -> None:
    report, said = tuned
    settings = {setting["name"]: setting for setting in report["settings"]}
    ranks = [f"rank{r}_{solver}" for solver in ("hals", "mu") for r in (1, 2, 3, 4)]
    assert list(settings) == ["trained", "keep0", *ranks]
    assert [name for name, s in settings.items() if s["measured_as"] == "trained"] == [
        "trained", "rank1_hals", "rank1_mu"
    ]  # fmt: skip
    splits = json.loads((workspace.preprocessed / "splits_final.json").read_text())
    assert {row["case"] for row in report["measurements"]} == set(splits[0]["val"])
    assert len(report["measurements"]) == 8 * len(splits[0]["val"])
    assert settings["keep0"]["cost_model_ratio"] < 1 < settings["rank4_mu"]["cost_model_ratio"]
    assert f"-p {STANDALONE}_{report['chosen']} -c 3d_fullres -f 0" in said
    assert "**Without any NMF** (keep0): Dice" in said


def test_numbers_of_the_trained_setting_are_those_of_stock_predictions(
    workspace: Workspace, tuned: tuple[dict[str, Any], str], tmp_path: Path
) -> None:
    rows = [row for row in tuned[0]["measurements"] if row["setting"] == "trained"]
    for row in rows:
        for image in (workspace.raw / "imagesTr").glob(f"{row['case']}_*"):
            (tmp_path / image.name).symlink_to(image)
    predictions = tmp_path / "predictions"
    workspace.run(
        "nnUNetv2_predict", "-i", str(tmp_path), "-o", str(predictions), "-d", workspace.dataset_id, "-c", "3d_fullres",
        "-tr", SWIN, "-f", "0", "-device", "cpu", "-npp", "0", "-nps", "0", "--disable_tta",
    )  # fmt: skip
    labels = foreground(json.loads((workspace.raw / "dataset.json").read_text()))
    for row in rows:
        folders = predictions, workspace.raw / "labelsTr"
        prediction, truth = (sitk.ReadImage(str(folder / f"{row['case']}.nii.gz")) for folder in folders)
        prediction_array, truth_array = map(sitk.GetArrayFromImage, (prediction, truth))
        assert prediction_array.any()
        assert row["labels"] == evaluate(prediction_array, truth_array, truth.GetSpacing()[::-1], labels)


def test_chosen_setting_runs_in_stock_nnunet(
    workspace: Workspace, tuned: tuple[dict[str, Any], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    report, _ = tuned
    chosen = next(setting for setting in report["settings"] if setting["name"] == report["chosen"])
    setting = Setting(name=chosen["name"], sweep="", tick="", description="", changes=chosen["changes"])
    assert_predicts_like_the_setting(workspace, setting, monkeypatch)


def test_another_rank_runs_in_stock_nnunet_and_is_exported(
    workspace: Workspace, tuned: tuple[dict[str, Any], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(VARIABLE, f"{trainers_folder()}:{Path(__file__).parent / 'trainers'}")
    model = read_model(workspace.fold(SWIN).parent, ["0"], "checkpoint_final.pth")
    changes = {"rank": 3, "solver": "mu", "skip_nmf": ["decoder.stages.0.0"]}
    setting = Setting(name="another", sweep="", tick="", description="", changes=changes)
    write_model(model, setting, "checkpoint_final.pth")
    assert_predicts_like_the_setting(workspace, setting, monkeypatch)
    plans = f"{STANDALONE}_another"
    workspace.run(
        "nnUNetv2_factorizer_export", "-d", workspace.dataset_id, "-tr", "nnUNetTrainer", "-p", plans, "-f", "0",
        "-o", str(tmp_path / "model.zip"), nnUNet_extTrainer=None,
    )  # fmt: skip
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        name = f"{workspace.dataset}/nnUNetTrainer__{plans}__3d_fullres/plans.json"
        exported = json.loads(archive.read(name))["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    assert {key: exported[key] for key in changes} == changes


def test_second_tuning_does_not_touch_the_first(workspace: Workspace, tuned: tuple[dict[str, Any], str]) -> None:
    before = digests(workspace.results) | digests(workspace.folder / "tuned")
    assert "exists and was not changed" in tune(workspace, "--sweep", "rank", check=False)
    assert digests(workspace.results) | digests(workspace.folder / "tuned") == before
