"""`nnUNetv2_factorizer_compare`: a run is killed and one cannot run; the same command does the rest, and no more."""

import json
import os
from pathlib import Path

import pytest
import torch

from nnunetv2_factorizer.compare import report
from nnunetv2_factorizer.compare.networks import network_of
from nnunetv2_factorizer.compare.planning import plans_for
from nnunetv2_factorizer.compare.scores import Scores
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.ext_trainer import VARIABLE
from nnunetv2_factorizer.inference.model import load_model
from tests.end_to_end.workspace import Workspace, checkpoint

TRAINERS = str(Path(__file__).parent / "trainers")
SHORT = "ShortSwin"  # nnUNetTrainerShortSwinFactorizer of the folder


def test_a_killed_comparison_goes_on(phantom: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    command = ("nnUNetv2_factorizer_compare", "-d", phantom.dataset_id, "-c", "2d", "--budget", "4 iterations")
    command += ("-device", "cpu", "--disable_progress_bar", "-o", str(out), "--networks", "nnU-Net", SHORT)
    alone = {"nnUNet_n_proc_DA": "0", VARIABLE: TRAINERS}
    killed = phantom.run(*command, "Primus", check=False, STOP_AFTER_EPOCHS="1", **alone)
    assert killed.returncode == 1
    assert f"{SHORT}, fold 0: it has not ended" in killed.stderr, killed.stderr[-2000:] + killed.stdout[-2000:]
    assert "Primus, fold 0: Primus is a network for 3D only." in killed.stderr
    assert "| nnU-Net | " in killed.stdout
    done = out / "runs" / "nnU-Net" / "fold_0" / "result.json"
    fold = out / "runs" / SHORT / "fold_0"
    before, first = done.stat().st_mtime_ns, json.loads((fold / "curve.json").read_text())
    assert len(first) == 1

    said = phantom.run(*command, **alone).stdout
    assert f"{SHORT}  fold 0  goes on  nnUNetTrainerShortSwinFactorizer" in said
    assert "1 of 2 runs to do" in said
    assert done.stat().st_mtime_ns == before
    results = json.loads((out / report.JSON).read_text())
    nnunet, short = results["runs"]
    assert short["curve"][:1] == first
    assert [point["iterations"] for point in short["curve"]] == [2, 4]
    assert checkpoint(fold)["current_epoch"] == 2
    assert nnunet["iterations"] == short["iterations"] == 4
    assert nnunet["patch_size"] == short["patch_size"]
    assert nnunet["cases"].keys() == short["cases"].keys()
    assert nnunet["parameters"] == sum(w.numel() for w in _unshared(checkpoint(done.parent)["network_weights"]))
    assert min(nnunet["gflops"], short["gflops"], nnunet["step"]) > 0
    difference = _mean_dice(short["cases"]) - _mean_dice(nnunet["cases"])
    assert results["rows"][1]["difference"] == pytest.approx(difference)
    summary = json.loads((done.parent / "validation" / "summary.json").read_text())
    theirs = [case["metrics"][label]["Dice"] for case in summary["metric_per_case"] for label in case["metrics"]]
    ours = [score["dice"] for case in nnunet["cases"].values() for score in case.values()]
    assert sorted(ours) == pytest.approx(sorted(theirs))

    monkeypatch.setenv(VARIABLE, TRAINERS)  # a model of nnU-Net's, under the name of its trainer
    predictor = load_model(fold.parent, ["0"], "checkpoint_final.pth", torch.device("cpu"))
    assert predictor.trainer_name == "nnUNetTrainerShortSwinFactorizer"


def test_plans_for_a_memory_target(phantom: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("raw", "preprocessed"):
        monkeypatch.setenv(f"nnUNet_{kind}", str(phantom.folder / kind))
    monkeypatch.setenv("nnUNet_n_proc_DA", "1")
    given = phantom.plans()
    before = json.dumps(given)
    files = sorted(os.listdir(phantom.preprocessed))
    of = {"nnU-Net": "PlainConvUNet", "ResEncM": "ResidualEncoderUNet", "Hybrid": "Factorizer"}
    for name, class_name in of.items():
        planned = plans_for(network_of(name), given, "2d", memory=2)
        settings = planned["configurations"]["2d"]
        assert settings["architecture"]["network_class_name"].endswith(f".{class_name}")
        for key in ("spacing", "data_identifier"):
            assert settings[key] == given["configurations"]["2d"][key]
        json.dumps(planned)
    with pytest.raises(UserError, match=r"needs \d+\.\d GB\.\nGive --memory that or more"):
        plans_for(network_of("Hybrid"), given, "2d", memory=0.5)
    assert json.dumps(given) == before
    assert sorted(os.listdir(phantom.preprocessed)) == files


def _mean_dice(cases: Scores) -> float:
    means = [sum(score["dice"] for score in labels.values()) / len(labels) for labels in cases.values()]
    return sum(means) / len(means)


def _unshared(weights: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """nnU-Net's decoder holds its encoder a second time, and each block its layers."""
    return list({w.data_ptr(): w for w in weights.values()}.values())
