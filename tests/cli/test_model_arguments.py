"""What commands on a trained model say before they begin."""

import argparse
import json
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


RUN_ALL = """
import json, sys
from importlib.metadata import entry_points

said = {}
for program, arguments in json.loads(sys.argv[1]).items():
    sys.argv = [program, *arguments]
    try:
        entry_points(group="console_scripts")[program].load()()
    except SystemExit as error:
        said[program] = error.code
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def without_variables(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """What each program exits with, and where they ran: one process, since importing takes seconds.

    It is not this one, since nnU-Net asks for its variables when it is imported.
    """
    folder = tmp_path_factory.mktemp("empty")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("nnUNet_")}
    command = [sys.executable, "-c", RUN_ALL, json.dumps(PROGRAMS)]
    done = subprocess.run(command, env=environment, cwd=folder, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1]), folder


@pytest.mark.parametrize("program", PROGRAMS)
def test_without_nnunets_variables(without_variables: tuple[dict[str, Any], Path], program: str) -> None:
    """A text is what Python prints as the error, with status 1."""
    said, folder = without_variables
    assert "nnUNet_results is not set.\nSet it as nnU-Net's documentation says" in said[program]
    assert list(folder.iterdir()) == []


def test_a_data_set_that_nnunet_does_not_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{kind}", str(tmp_path))
    with pytest.raises(UserError, match=r"(?s)Could not find a dataset with the ID 4.*\nGive the ID or the name"):
        model_folder(*parsed("-d", "4", "-c", "3d_fullres"))
