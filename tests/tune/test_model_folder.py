"""A setting as a model of its own: what is in it, complete or not at all, the trained one untouched."""

import json
from pathlib import Path

import pytest
import torch

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.checkpoint import RECORD_KEY, read_checkpoint
from nnunetv2_factorizer.models.trained import TrainedModel, trained_network, tuned_network
from nnunetv2_factorizer.network import Factorizer
from nnunetv2_factorizer.tune import model_folder
from nnunetv2_factorizer.tune.model_folder import check_free, write_model
from nnunetv2_factorizer.tune.settings import Setting
from tests.models.test_model_zip import digests

RANK = Setting(name="rank3_mu", sweep="rank", tick="3", description="", changes={"rank": 3, "solver": "mu"})
NAME = "nnUNetTrainer__nnUNetPlans_ConvFactorizer_rank3_mu__3d_fullres"
CHECKPOINT = "checkpoint_final.pth"


def test_folder_holds_the_setting_of_all_folds(model: TrainedModel) -> None:
    before = digests(model.folder)
    folder = write_model(model, RANK, CHECKPOINT)
    assert folder == model.folder.with_name(NAME)
    assert digests(model.folder) == before
    files = ["dataset.json", "dataset_fingerprint.json", f"fold_0/{CHECKPOINT}", f"fold_1/{CHECKPOINT}", "plans.json"]
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == files
    plans = json.loads((folder / "plans.json").read_text())
    kwargs = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    assert plans["plans_name"] == "nnUNetPlans_ConvFactorizer_rank3_mu"
    assert (kwargs["rank"], kwargs["solver"]) == (3, "mu")
    assert plans["configurations"]["3d_lowres"]["architecture"]["arch_kwargs"]["rank"] == 1
    x = torch.randn(1, 2, 8, 16, 16)
    for fold in ("0", "1"):
        checkpoint = read_checkpoint(str(folder / f"fold_{fold}" / CHECKPOINT))
        assert checkpoint["trainer_name"] == "nnUNetTrainer"
        assert json.loads(json.dumps(checkpoint["init_args"]["plans"])) == plans  # tuples are lists
        assert json.loads(json.dumps(checkpoint["init_args"][RECORD_KEY]["architecture"]["arch_kwargs"])) == kwargs
        assert checkpoint["exported_from"]["setting"] == "rank3_mu"
        network = Factorizer(2, 2, **kwargs).eval()
        network.load_state_dict(checkpoint["network_weights"])
        weights = trained_network(model, fold, torch.device("cpu")).state_dict()
        with torch.inference_mode():
            assert torch.equal(network(x), tuned_network(model, RANK.changes, weights)(x))


def test_existing_model_is_not_touched(model: TrainedModel) -> None:
    existing = model.folder.with_name(NAME)
    existing.mkdir()
    (existing / "plans.json").write_text("mine")
    with pytest.raises(UserError, match=r"rank3_mu__3d_fullres exists and was not changed.*\nMove that model"):
        check_free(model, [RANK])
    with pytest.raises(UserError):
        write_model(model, RANK, CHECKPOINT)
    assert [path.name for path in existing.iterdir()] == ["plans.json"]


def test_nothing_is_left_of_a_write_that_fails(model: TrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model_folder.shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        write_model(model, RANK, CHECKPOINT)
    assert [path.name for path in model.folder.parent.iterdir()] == [model.folder.name]
