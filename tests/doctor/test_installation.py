"""Versions, folders and trainers."""

import os
from pathlib import Path

import pytest
import torch

from nnunetv2_factorizer.doctor import folders, trainers, versions
from nnunetv2_factorizer.doctor.finding import Finding
from nnunetv2_factorizer.ext_trainer import VARIABLE, trainers_folder
from nnunetv2_factorizer.factorization.kernels import trial

SWIN = "nnUNetTrainerSwinFactorizer"


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_versions_outside_the_supported_range(monkeypatch: pytest.MonkeyPatch) -> None:
    found = by_name(versions.examine())
    assert found["nnunetv2"].status == found["torch"].status == "ok"
    assert "pytest" not in found
    old = {"nnunetv2": "2.5.1"}
    real = versions.version
    monkeypatch.setattr(versions, "version", lambda name: old.get(name) or real(name))
    nnunet = by_name(versions.examine())["nnunetv2"]
    assert nnunet.status == "error"
    assert nnunet.what.startswith("2.5.1 is installed; nnunetv2")
    assert nnunet.remedy.startswith("pip install 'nnunetv2")


def test_a_requirement_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "requires", lambda _: ["no-such-package-at-all>=3"])
    assert by_name(versions.examine())["no-such-package-at-all"].what == (
        "is not installed; no-such-package-at-all>=3 is needed"
    )


@pytest.mark.no_cover  # Triton's interpreter
def test_the_fused_kernels_are_tried_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = pytest.importorskip("nnunetv2_factorizer.factorization.kernels.windows", reason="Triton is not here")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        assert versions._kernels(device) == Finding("fused kernels", "ok", "not tried without a GPU")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(trial, "tried", {})
    found = versions._kernels(device)
    assert found == Finding("fused kernels", "ok", "run, and agree with PyTorch in fp16, forward and backward")

    for failing in (versions.voxelwise, versions.depthwise):
        with monkeypatch.context() as others_run:
            for kernels in (versions.mixing_trial, versions.depthwise, versions.voxelwise):
                others_run.setattr(kernels, "why_not", lambda *_: None)
            others_run.setattr(failing, "why_not", lambda *_: "no numbers of theirs")
            assert versions._kernels(device).what == "PyTorch does their work, more slowly: no numbers of theirs"

    def mix_windows(*_: object) -> None:
        raise RuntimeError("no C compiler\nfound")

    monkeypatch.setattr(windows, "mix_windows", mix_windows)
    found = versions._kernels(device)
    assert found.status == "warning"
    assert found.what == "PyTorch does their work, more slowly: no C compiler found"


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("nnUNet_raw", raising=False)
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path / "nowhere"))
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    found = by_name(folders.examine())
    assert found["nnUNet_raw"].status == "warning"
    assert found["nnUNet_preprocessed"].status == "error"
    assert "nowhere' is no folder" in found["nnUNet_preprocessed"].what
    assert found["nnUNet_results"] == Finding("nnUNet_results", "ok", str(tmp_path))


def test_trainers_are_found_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"{trainers_folder()}/")
    found = by_name(trainers.examine())
    assert {finding.status for finding in found.values()} == {"ok"}
    assert found[SWIN].what == str(trainers_folder())


@pytest.mark.parametrize("value", [None, "/no/such/folder"])
def test_variable_not_set_or_pointing_nowhere(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    found = by_name(trainers.examine())
    assert {finding.status for finding in found.values()} == {"error"}
    assert ("is not set" if value is None else value) in found[VARIABLE].what
    assert found[SWIN].what.endswith(f"Could not find requested nnunet trainer {SWIN}")
    assert 'eval "$(nnUNetv2_factorizer_env)"' in found[SWIN].remedy


def test_another_trainer_of_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "copied.py").write_text(
        "from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer\n"
        f"class {SWIN}(nnUNetTrainer): ...\n"
    )  # fmt: skip
    monkeypatch.setenv(VARIABLE, os.pathsep.join([str(tmp_path), str(trainers_folder())]))
    found = by_name(trainers.examine())
    assert found[SWIN].status == "error"
    assert str(tmp_path) in found[SWIN].what
    assert found["nnUNetTrainerLocalFactorizer"].status == "ok"


def test_a_broken_module_on_the_way_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.py").write_text("import package_that_is_not_there\n")
    monkeypatch.setenv(VARIABLE, os.pathsep.join([str(tmp_path), str(trainers_folder())]))
    found = by_name(trainers.examine())
    assert "No module named 'package_that_is_not_there'" in found[SWIN].what
