"""What commands on a trained model say before they begin."""

import argparse
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


def test_no_results_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnunetv2.paths.nnUNet_results", None)
    with pytest.raises(UserError, match=r"^nnUNet_results is not set\.\nSet it"):
        model_folder(*parsed("-d", "4", "-c", "3d_fullres"))
