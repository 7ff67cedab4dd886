"""What the doctor says of checkpoints."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from nnunetv2_factorizer.doctor.checkpoint import examine
from nnunetv2_factorizer.doctor.finding import Finding
from nnunetv2_factorizer.ext_trainer import VARIABLE, trainers_folder
from nnunetv2_factorizer.models.checkpoint import RECORD_KEY
from nnunetv2_factorizer.trainers.nnUNetTrainerSwinFactorizer import nnUNetTrainerSwinFactorizer
from tests.doctor.test_pickles import Malicious
from tests.training.small_trainer import DATASET, dataset_json, make_trainer, plans


@pytest.fixture
def fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fold with a checkpoint, as nnU-Net keeps it."""
    monkeypatch.setenv(VARIABLE, str(trainers_folder()))
    trainer = make_trainer(nnUNetTrainerSwinFactorizer, tmp_path, monkeypatch)
    trainer.initialize()
    trainer.save_checkpoint(str(Path(trainer.output_folder) / "checkpoint_final.pth"))
    folder = Path(trainer.output_folder_base)
    (folder / "plans.json").write_text(json.dumps(plans()))
    (folder / "dataset.json").write_text(json.dumps(dataset_json()))
    return Path(trainer.output_folder)


def findings(fold: Path, the_plans: Path | None = None) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(fold / "checkpoint_final.pth", the_plans)}


def change(fold: Path, **changes: Any) -> None:
    path = fold / "checkpoint_final.pth"
    torch.save(torch.load(path, weights_only=False) | changes, path)


def test_a_good_one(fold: Path) -> None:
    found = findings(fold)
    assert {finding.status for finding in found.values()} == {"ok"}
    expected = f"nnUNetTrainerSwinFactorizer, {DATASET}, nnUNetFactorizerPlans, 3d_fullres, fold 0; epoch 1; "
    assert found["checkpoint"].what.startswith(expected)
    assert found["checkpoint and plans"].what == f"the weights fit {fold.parent / 'plans.json'}"


def test_other_plans(fold: Path, tmp_path: Path) -> None:
    (tmp_path / "plans.json").write_text(json.dumps(plans(features_per_stage=[8, 16, 32])))
    (tmp_path / "dataset.json").write_text(json.dumps(dataset_json()))
    found = findings(fold, tmp_path / "plans.json")["checkpoint and plans"]
    assert found.status == "error"
    assert "there, " in found.what
    assert str(tmp_path / "plans.json") in found.what


def test_without_plans(fold: Path) -> None:
    (fold.parent / "plans.json").unlink()
    found = findings(fold)["checkpoint and plans"]
    assert found.status == "warning"
    assert found.what == f"not compared: {fold.parent / 'plans.json'} does not exist"


def test_weights_that_are_not_finite(fold: Path) -> None:
    weights = torch.load(fold / "checkpoint_final.pth", weights_only=False)["network_weights"]
    weights["encoder.stem.weight"][0] = float("nan")
    change(fold, network_weights=weights)
    found = findings(fold)["checkpoint weights"]
    assert found.status == "error"
    assert "such as encoder.stem.weight" in found.what


def test_a_newer_version(fold: Path) -> None:
    arguments = torch.load(fold / "checkpoint_final.pth", weights_only=False)["init_args"]
    change(fold, init_args=arguments | {RECORD_KEY: arguments[RECORD_KEY] | {"version": "7.8.9"}})
    found = findings(fold)["checkpoint"]
    assert found.status == "error"
    assert "nnunetv2-factorizer 7.8.9, newer" in found.what


def test_a_malicious_one_is_listed_and_does_not_run(fold: Path, tmp_path: Path) -> None:
    proof = tmp_path / "ran"
    change(fold, logging=Malicious(proof))
    (found,) = findings(fold).values()
    assert found.status == "error"
    assert found.what == "loading it would call posix.system"
    assert "Do not give this file to nnU-Net" in found.remedy
    assert not proof.exists()


def test_one_of_nnunets_own_trainer(fold: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps no record of this package, and builds what the plans name."""
    arguments = torch.load(fold / "checkpoint_final.pth", weights_only=False)["init_args"]
    del arguments[RECORD_KEY]
    change(fold, init_args=arguments, trainer_name="nnUNetTrainer")
    monkeypatch.delenv(VARIABLE)
    found = findings(fold)
    assert {finding.status for finding in found.values()} == {"ok"}
    assert found["checkpoint"].what.endswith("nnunetv2-factorizer unknown")


@pytest.mark.parametrize("name", ["torch.hub.load", "dynamic_network_architectures.architectures.unet.torch.hub.load"])
def test_plans_that_would_run_code_are_not_built(fold: Path, tmp_path: Path, name: str) -> None:
    """A trainer of nnU-Net's builds what the plans name; the second name starts as nnU-Net's networks do."""
    hub, proof = tmp_path / "hub", tmp_path / "ran"
    hub.mkdir()
    (hub / "hubconf.py").write_text(f"open({str(proof)!r}, 'w').close()\ndef net(**_): pass")
    content = plans()
    content["configurations"]["3d_fullres"]["architecture"] = {
        "network_class_name": name,
        "arch_kwargs": {"repo_or_dir": str(hub), "model": "net", "source": "local"},
        "_kw_requires_import": [],
    }
    (fold.parent / "plans.json").write_text(json.dumps(content))
    change(fold, trainer_name="nnUNetTrainer")
    found = findings(fold)["checkpoint and plans"]
    assert found.status == "warning"
    assert found.what == f"not compared: the plans name {name}, which would be run"
    assert not proof.exists()


def test_truncated_and_missing(fold: Path) -> None:
    path = fold / "checkpoint_final.pth"
    path.write_bytes(path.read_bytes()[:1000])
    (found,) = findings(fold).values()
    assert found.status == "error"
    assert "cannot be read as a checkpoint" in found.what
    path.unlink()
    (found,) = findings(fold).values()
    assert "No such file" in found.what
