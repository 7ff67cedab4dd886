"""A stage and the pool: it grows or not, and a stage that is refused or interrupted leaves it as it was."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.paths import nnUNet_results
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.lifelong import pool as pools
from nnunetv2_factorizer.lifelong import scores, training
from nnunetv2_factorizer.lifelong.pool import Pool, read_pool
from nnunetv2_factorizer.lifelong.stage import VARIABLE, StageData, read_stage
from nnunetv2_factorizer.lifelong.training import Wanted, train_stage
from nnunetv2_factorizer.pretraining.finetuning import VARIABLE as START
from tests.concepts.regions import make_predictor
from tests.screen.cases import make_image, noisy
from tests.training.networks import plans_of
from tests.training.small_trainer import dataset_json

PLANS = "nnUNetFactorizerPlans"
A, SAME, OTHER = "Dataset901_A", "Dataset902_Same", "Dataset903_Other"
Train = Callable[..., Pool]


def write_stage(folder: Path, name: str, cases: int = 8, change: Any = None, **of_configuration: Any) -> None:
    base = folder / "preprocessed" / name
    data = base / "nnUNetPlans_3d_fullres"
    data.mkdir(parents=True)
    for seed in range(cases):
        image = make_image(seed, (16, 16, 16))
        image = image if change is None else change(image)
        label = np.zeros((1, 16, 16, 16), np.int8)
        nnUNetDatasetBlosc2.save_case(image, label, {"spacing": [1.0, 1.0, 1.0]}, str(data / f"case_{seed}"))
    plans = {**plans_of("PlainConvUNet"), "dataset_name": name}
    plans["configurations"]["3d_fullres"] |= of_configuration
    (base / f"{PLANS}.json").write_text(json.dumps(plans))
    (base / "dataset.json").write_text(json.dumps(dataset_json()))


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """nnU-Net's trainings are noted here, and leave a file in place of a checkpoint."""
    for kind in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{kind}", str(tmp_path / kind))
    for name, change in ((A, None), (SAME, None), (OTHER, noisy)):
        write_stage(tmp_path, name, change=change)
    calls: list[dict[str, Any]] = []
    predictor = make_predictor("PlainConvUNet", 3)

    def run(dataset: str, configuration: str, fold: str, trainer: str, plans: str, **how: Any) -> None:
        calls.append({"dataset": dataset, "trainer": trainer, "start": os.environ.get(START), **how})
        calls[-1]["stage"] = read_stage(Path(os.environ[VARIABLE]))
        folder = Path(str(nnUNet_results), dataset, f"{trainer}__{plans}__{configuration}", f"fold_{fold}")
        folder.mkdir(parents=True, exist_ok=True)
        if "STOP" in os.environ:
            (folder / "checkpoint_latest.pth").write_bytes(b"half")
            raise KeyboardInterrupt
        (folder / "checkpoint_final.pth").write_bytes(dataset.encode())

    monkeypatch.setattr(training, "run_training", run)
    monkeypatch.setattr(training, "recursive_find_trainer_class_by_name", lambda name: None)
    monkeypatch.setattr(pools, "load_model", lambda *arguments, **settings: predictor)
    monkeypatch.setattr(scores, "segment", lambda pool, folder, data, *a, **k: {"case": 0.1 * len(pool.stages)})
    return calls


@pytest.fixture
def train(tmp_path: Path, trained: list[dict[str, Any]]) -> Train:
    def train(name: str, fold: str = "0", plans: str = PLANS, **wanted: Any) -> Pool:
        data = StageData(name, plans, fold)
        given = {"folder": tmp_path / "pool", "device": torch.device("cpu"), "show_progress": False, **wanted}
        return train_stage(Wanted(data=data, **given))

    return train


def manifest(tmp_path: Path) -> bytes:
    return (tmp_path / "pool" / "pool.json").read_bytes()


def test_it_grows_where_a_stage_is_new(
    tmp_path: Path, train: Train, trained: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    results = str(nnUNet_results)
    first = train(A, configuration="3d_fullres")
    assert [member.history for member in first.members] == [(0,)]
    assert trained[0]["start"] is None
    assert trained[0]["trainer"] == "nnUNetTrainer_LifelongODEx"
    second = train(SAME)
    assert [member.history for member in second.members] == [(0, 1)]
    assert SAME in second.members[0].model.folder
    assert second.eye == first.eye
    assert trained[1]["start"] == str(first.members[0].model.checkpoint(tmp_path / "pool"))
    assert "it goes on" in capsys.readouterr().out
    third = train(OTHER)
    assert [member.history for member in third.members] == [(0, 1), (0, 1, 2)]
    assert third.members[0] == second.members[0]
    assert trained[2]["start"] == str(second.members[0].model.checkpoint(tmp_path / "pool"))
    assert [data.dataset for data in trained[2]["stage"].earlier] == [A, SAME]
    assert "a new member begins as its copy" in capsys.readouterr().out
    again = read_pool(tmp_path / "pool")
    assert again.members == third.members
    # Each stage: the cell before it, then the row after it.
    measured = scores.matrix(again, tmp_path / "pool")
    assert measured == [[0.1, 0.1, None], [0.2, 0.2, 0.2], [pytest.approx(0.3)] * 3]
    assert str(nnUNet_results) == results
    assert VARIABLE not in os.environ
    assert START not in os.environ


def test_a_baseline_keeps_one_model(train: Train) -> None:
    train(A, configuration="3d_fullres", method="sequential")
    assert [member.history for member in train(OTHER).members] == [(0, 1)]


def test_an_interrupted_stage_leaves_the_pool_as_it_was(
    tmp_path: Path, train: Train, trained: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    train(A, configuration="3d_fullres")
    before = manifest(tmp_path)
    monkeypatch.setenv("STOP", "1")
    with pytest.raises(KeyboardInterrupt):
        train(SAME)
    assert manifest(tmp_path) == before
    monkeypatch.delenv("STOP")
    with pytest.raises(UserError, match="this stage was begun and is not in the pool") as caught:
        train(SAME)
    assert "--c goes on with it" in caught.value.remedy
    with pytest.raises(UserError, match="was begun another way: data was") as caught:
        train(SAME, fold="1", goes_on=True)
    assert f"delete {tmp_path / 'pool' / 'models' / SAME}" in caught.value.remedy
    assert manifest(tmp_path) == before
    assert len(train(SAME, goes_on=True).stages) == 2
    assert [call["continue_training"] for call in trained] == [False, False, True]


def test_a_stage_given_twice_and_another_setting_of_the_pool(tmp_path: Path, train: Train) -> None:
    with pytest.raises(UserError, match="the first stage of a pool needs -c"):
        train(A)
    train(A, configuration="3d_fullres")
    before = manifest(tmp_path)
    with pytest.raises(UserError, match=f"{A} is stage 1 of .* already") as caught:
        train(A)
    assert "Give the next stage" in caught.value.remedy
    with pytest.raises(UserError, match="is a pool with --method odex, not ewc") as caught:
        train(SAME, method="ewc")
    assert "Leave --method out" in caught.value.remedy
    assert manifest(tmp_path) == before


def test_a_stage_of_another_plan(tmp_path: Path, train: Train) -> None:
    train(A, configuration="3d_fullres")
    write_stage(tmp_path, "Dataset904_Plan", cases=5, spacing=[2.0, 1.0, 1.0])
    with pytest.raises(UserError, match=r"spacing is \[2\.0, 1\.0, 1\.0\] here, \[1\.0, 1\.0, 1\.0\] there") as caught:
        train("Dataset904_Plan")
    assert f"nnUNetv2_move_plans_between_datasets -s {A} -t Dataset904_Plan -sp {PLANS}" in caught.value.remedy
    assert f"nnUNetv2_preprocess -d 904 -plans_name {PLANS}_of901 -c 3d_fullres" in caught.value.remedy
    description = tmp_path / "preprocessed" / SAME / "dataset.json"
    description.write_text(json.dumps(dataset_json() | {"labels": {"background": 0, "tumour": 1}}))
    with pytest.raises(UserError, match="labels is ") as caught:
        train(SAME)
    assert "labels and channels of the first stage" in caught.value.remedy
    for name, plans, match in (
        (OTHER, "nnUNetPlans", "was not planned as nnUNetPlans"),
        ("Dataset905_No", PLANS, "was not planned as"),
    ):
        with pytest.raises(UserError, match=match) as caught:
            train(name, plans=plans)
        assert "nnUNetv2_move_plans_between_datasets" in caught.value.remedy
    assert not (tmp_path / "pool" / "models" / SAME).exists()


def test_one_case_only(tmp_path: Path, train: Train) -> None:
    write_stage(tmp_path, "Dataset906_One", cases=1)
    for fold, match in (("0", "has 1 labelled cases, fewer than"), ("all", "has 1 training cases")):
        with pytest.raises(UserError, match=match) as caught:
            train("Dataset906_One", fold=fold, configuration="3d_fullres")
        assert "nnUNetTrainer_AdaptAll" in caught.value.remedy
    assert not (tmp_path / "pool").exists()


def test_a_trainer_that_nnunet_does_not_find(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise RuntimeError

    monkeypatch.setattr(training, "recursive_find_trainer_class_by_name", missing)
    with pytest.raises(UserError, match="finds no trainer nnUNetTrainerODEx") as caught:
        train(A, configuration="3d_fullres", trainer="nnUNetTrainer")
    assert "nnUNetv2_factorizer_env" in caught.value.remedy
