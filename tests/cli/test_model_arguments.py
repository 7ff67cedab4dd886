"""What commands on a trained model say before they begin."""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nnunetv2_factorizer.cli.model_arguments import add_model_arguments, model_folder, prediction_settings
from nnunetv2_factorizer.errors import UserError


def parsed(*flags: str) -> tuple[argparse.ArgumentParser, Any]:
    parser = argparse.ArgumentParser()
    add_model_arguments(parser)
    return parser, parser.parse_args(flags)


@pytest.mark.parametrize("step", ["0", "-1", "1.5", "nan"])
def test_step_sizes_that_are_none(step: str) -> None:
    with pytest.raises(UserError, match=r"^-step_size must be greater than 0 and at most 1, got "):
        prediction_settings(parsed("-step_size", step, "-device", "cpu")[1], mirroring=True)


def test_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match=r"^PyTorch finds no GPU here\.\nGive -device cpu"):
        prediction_settings(parsed()[1], mirroring=True)
    assert prediction_settings(parsed("-device", "cpu")[1], mirroring=True)["use_mirroring"]


PROGRAMS = {
    "nnUNetv2_factorizer_tune": ["-d", "4", "-c", "3d_fullres", "-o", "report"],
    "nnUNetv2_factorizer_explain": ["-d", "4", "-c", "3d_fullres", "-i", "images", "-o", "out"],
    "nnUNetv2_factorizer_export": ["-d", "4", "-tr", "nnUNetTrainer", "-o", "model.zip"],
    "nnUNetv2_factorizer_style_bank": ["-d", "4", "-c", "3d_fullres", "-f", "0"],
    "nnUNetv2_factorizer_predict_style": ["-d", "4", "-c", "3d_fullres", "-i", "images", "-o", "out"],
    "nnUNetv2_factorizer_concepts": ["fit", "-d", "4", "-c", "3d_fullres", "-f", "0", "-k", "2", "-o", "dictionary"],
    "nnUNetv2_factorizer_screen": ["run", "-d", "4", "-c", "3d_fullres", "-i", "images", "-o", "out"],
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_without_nnunets_variables(tmp_path: Path, program: str) -> None:
    """In a process of its own, since nnU-Net asks for them when it needs them."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("nnUNet_")}
    command = [str(Path(sys.executable).parent / program), *PROGRAMS[program]]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "nnUNet_results is not set.\nSet it as nnU-Net's documentation says" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_data_set_that_nnunet_does_not_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{kind}", str(tmp_path))
    with pytest.raises(UserError, match=r"(?s)Could not find a dataset with the ID 4.*\nGive the ID or the name"):
        model_folder(*parsed("-d", "4", "-c", "3d_fullres"))
