"""2d (of volumes and of RGB images), 3d_lowres and the cascade; 3d_fullres is what the other modules train."""

import json
from copy import deepcopy
from pathlib import Path

import pytest

from tests.conftest import real_dataset
from tests.end_to_end.datasets import link_cases, values, write_rgb
from tests.end_to_end.workspace import Workspace, checkpoint

CONV = "nnUNetTrainerShortConvFactorizer"
GLOBAL = "nnUNetTrainerShortGlobalFactorizer"
LOCAL = "nnUNetTrainerShortLocalFactorizer"
MUON = "nnUNetTrainerShortMuon"


@pytest.mark.slow  # test_rgb_png is of the same configuration
def test_2d(phantom: Workspace) -> None:
    fold = phantom.train(GLOBAL, configuration="2d")
    assert (fold / "validation" / "summary.json").exists()
    weight = checkpoint(fold)["network_weights"]["encoder.stem.weight"]
    assert weight.ndim == 4


@pytest.fixture(scope="module")
def with_lowres(phantom: Workspace) -> Workspace:
    """3d_lowres and 3d_cascade_fullres in the plans, the first preprocessed."""
    add_lowres_and_cascade(phantom)
    phantom.run("nnUNetv2_preprocess", "-d", phantom.dataset_id, "-c", "3d_lowres", "-np", "1")
    return phantom


@pytest.fixture(scope="module")
def lowres(with_lowres: Workspace) -> Path:
    """A model of 3d_lowres that has seen all cases."""
    return with_lowres.train(LOCAL, configuration="3d_lowres", fold="all")


def add_lowres_and_cascade(workspace: Workspace) -> None:
    """What nnU-Net's planner does for large images only, as nnU-Net's own integration test does it."""
    plans = workspace.plans()
    fullres = plans["configurations"]["3d_fullres"]
    lowres = {
        "inherits_from": "3d_fullres",
        "data_identifier": "nnUNetPlans_3d_lowres",
        "patch_size": [8, 20, 20],
        "median_image_size_in_voxels": [size / 2 for size in fullres["median_image_size_in_voxels"]],
        "spacing": [2 * spacing for spacing in fullres["spacing"]],
        "architecture": deepcopy(fullres["architecture"]),
        "next_stage": "3d_cascade_fullres",
    }
    lowres["architecture"]["arch_kwargs"] |= {
        "n_stages": 3,
        "features_per_stage": [32, 64, 128],
        "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
        "kernel_sizes": [[3, 3, 3]] * 3,
        "n_conv_per_stage": [2, 2, 2],
        "n_conv_per_stage_decoder": [2, 2],
    }
    plans["configurations"]["3d_lowres"] = lowres
    plans["configurations"]["3d_cascade_fullres"] = {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}
    (workspace.preprocessed / "nnUNetPlans.json").write_text(json.dumps(plans))


def test_cascade(phantom: Workspace, lowres: Path) -> None:
    assert (lowres / "validation" / "summary.json").exists()
    fold = phantom.train(LOCAL, configuration="3d_cascade_fullres")
    # Four images and the two labels of the stage before.
    assert checkpoint(fold)["network_weights"]["encoder.stem.weight"].shape[1] == 6
    first = phantom.predict(LOCAL, "lowres", configuration="3d_lowres", folds=("all",))
    second = phantom.predict(
        LOCAL, "cascade", "-prev_stage_predictions", str(first), configuration="3d_cascade_fullres"
    )  # fmt: skip
    assert {path.name for path in second.glob("*.nii.gz")} == {path.name for path in first.glob("*.nii.gz")}
    assert set(phantom.evaluate(second)) == {"1", "2"}


@pytest.mark.slow  # the recipe alone is new here, and tests/training has it with every network
def test_cascade_of_nnunets_networks_with_muon(with_lowres: Workspace) -> None:
    with_lowres.train(MUON, configuration="3d_lowres", fold="all")
    fold = with_lowres.train(MUON, configuration="3d_cascade_fullres")
    assert checkpoint(fold)["network_weights"]["encoder.stages.0.0.convs.0.conv.weight"].shape[1] == 6
    assert (fold / "validation" / "summary.json").exists()


def run_rgb(workspace: Workspace) -> None:
    workspace.plan_and_preprocess("2d")
    assert workspace.plans()["image_reader_writer"] == "NaturalImage2DIO"
    fold = workspace.train(CONV, configuration="2d")
    assert checkpoint(fold)["network_weights"]["encoder.stem.weight"].shape[1] == 3
    output = workspace.predict(CONV, "predictions", configuration="2d")
    cases = {path.name.replace("_0000", "") for path in (workspace.raw / "imagesTs").iterdir()}
    assert {path.name for path in output.glob("*.png")} == cases
    assert all(values(path) <= {0, 1} for path in output.glob("*.png"))


def test_rgb_png(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "Dataset995_Discs")
    write_rgb(workspace.raw)
    run_rgb(workspace)


@pytest.mark.slow
def test_rgb_png_of_nuclei(tmp_path: Path) -> None:
    data = real_dataset("Dataset041_NucleiFluorescence")
    workspace = Workspace(tmp_path, data.name)
    link_cases(data, workspace.raw, 9)
    run_rgb(workspace)
