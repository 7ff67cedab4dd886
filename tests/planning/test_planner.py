"""Planning from a fingerprint: what the plans say, whose data they share, and what is left alone."""

import json
import os
import time
from math import prod
from pathlib import Path
from typing import Any

import nnunetv2.paths
import pytest
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

from nnunetv2_factorizer.demo.phantom import write_dataset
from nnunetv2_factorizer.network import Factorizer
from nnunetv2_factorizer.planning import preprocess
from nnunetv2_factorizer.plans import PLANNERS, nnUNetPlannerConvFactorizer, nnUNetPlannerFactorizer

DATASET = "Dataset997_Planning"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A raw data set of three cases and the fingerprint of a much larger one; gives its preprocessed folder."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("nnUNet_n_proc_DA", "1")
    write_dataset(tmp_path / "nnUNet_raw" / DATASET, num_training=3, num_test=1)
    folder = tmp_path / "nnUNet_preprocessed" / DATASET
    folder.mkdir(parents=True)
    write_fingerprint(folder, mean=100.0)
    return folder


def write_fingerprint(folder: Path, mean: float, shape: tuple[int, ...] = (60, 100, 90)) -> None:
    statistics = {"max": 900.0, "mean": mean, "median": 90.0, "min": 0.0, "percentile_00_5": 1.0,
                  "percentile_99_5": 800.0, "std": 50.0}  # fmt: skip
    fingerprint = {
        "spacings": [[1.0, 1.0, 1.0]] * 3,
        "shapes_after_crop": [list(shape)] * 3,
        "foreground_intensity_properties_per_channel": {str(channel): statistics for channel in range(4)},
        "median_relative_size_after_cropping": 1.0,
    }
    (folder / "dataset_fingerprint.json").write_text(json.dumps(fingerprint))


def configurations(plans: dict[str, Any]) -> dict[str, Any]:
    return plans["configurations"]


def test_paths_are_those_of_the_environment(folder: Path) -> None:
    assert str(nnunetv2.paths.nnUNet_preprocessed) == str(folder.parent)


@pytest.mark.parametrize("planner", PLANNERS.values())
def test_plans_build_the_network_through_nnunet(folder: Path, planner: type) -> None:
    plans = planner(DATASET).plan_experiment()
    assert json.loads((folder / f"{plans['plans_name']}.json").read_text()) == json.loads(json.dumps(plans))
    for name, plan in configurations(plans).items():
        if "architecture" not in plan:
            continue
        architecture = plan["architecture"]
        network = get_network_from_plans(
            architecture["network_class_name"], architecture["arch_kwargs"], architecture["_kw_requires_import"], 4, 3
        )
        assert isinstance(network, Factorizer), name
        assert architecture["arch_kwargs"]["patch_size"] == list(plan["patch_size"])


def test_patch_follows_the_memory_target(folder: Path) -> None:
    write_fingerprint(folder, mean=100.0, shape=(300, 400, 360))
    patches = []
    for target in (4, 8, 24):
        plans = nnUNetPlannerFactorizer(DATASET, target, plans_name=f"Target{target}").plan_experiment()
        plan = configurations(plans)["3d_fullres"]
        patches.append(plan["batch_size"] * plan["patch_size"][0] * plan["patch_size"][1] * plan["patch_size"][2])
    assert patches == sorted(patches)
    assert patches[0] < patches[-1]


@pytest.mark.parametrize("memory", ["low", "fast"])
def test_patch_is_larger_where_less_than_the_unet_is_kept_and_smaller_where_more(folder: Path, memory: str) -> None:
    class Planner(nnUNetPlannerFactorizer):
        choices = nnUNetPlannerFactorizer.choices | {"memory": memory}

    write_fingerprint(folder, mean=100.0, shape=(300, 400, 360))
    ours, theirs = (
        prod(configurations(planner(DATASET).plan_experiment())["3d_fullres"]["patch_size"])
        for planner in (Planner, ExperimentPlanner)
    )
    assert (ours > theirs) is (memory == "low")


def test_name_says_how_matrices_are_cut(folder: Path) -> None:
    assert nnUNetPlannerFactorizer(DATASET).plans_identifier == "nnUNetFactorizerPlans"
    assert nnUNetPlannerFactorizer(DATASET, matricize="swin").plans_identifier == "nnUNetFactorizerPlans"
    assert nnUNetPlannerFactorizer(DATASET, matricize="local").plans_identifier == "nnUNetLocalFactorizerPlans"
    assert nnUNetPlannerConvFactorizer(DATASET).plans_identifier == "nnUNetConvFactorizerPlans"
    conv_local = nnUNetPlannerConvFactorizer(DATASET, matricize="local")
    assert conv_local.plans_identifier == "nnUNetConvLocalFactorizerPlans"
    assert conv_local.choices == {"matricize": "local", "local_path": "depthwise"}


def shared(plans: dict[str, Any]) -> dict[str, bool]:
    return {
        name: plan["data_identifier"].startswith("nnUNetPlans_")
        for name, plan in configurations(plans).items()
        if name in ("2d", "3d_fullres")
    }


@pytest.mark.parametrize("stock_first", [True, False])
def test_data_of_the_default_plans_are_shared(folder: Path, stock_first: bool) -> None:
    if stock_first:
        ExperimentPlanner(DATASET).plan_experiment()
    assert shared(nnUNetPlannerFactorizer(DATASET).plan_experiment()) == {"2d": True, "3d_fullres": True}


@pytest.mark.parametrize("stock_first", [True, False])
def test_data_of_another_spacing_or_order_of_axes_are_not_shared(folder: Path, stock_first: bool) -> None:
    if stock_first:
        ExperimentPlanner(DATASET).plan_experiment()
    plans = nnUNetPlannerFactorizer(DATASET, overwrite_target_spacing=[1.0, 1.0, 2.0]).plan_experiment()
    assert plans["transpose_forward"] == [2, 0, 1]
    assert shared(plans) == {"2d": False, "3d_fullres": False}


def test_data_normalised_by_other_statistics_are_not_shared(folder: Path) -> None:
    ExperimentPlanner(DATASET).plan_experiment()
    write_fingerprint(folder, mean=7.0)
    assert shared(nnUNetPlannerFactorizer(DATASET).plan_experiment()) == {"2d": False, "3d_fullres": False}


def test_same_plans_again_are_fine_and_others_are_refused(folder: Path) -> None:
    nnUNetPlannerFactorizer(DATASET).plan_experiment()
    file = folder / "nnUNetFactorizerPlans.json"
    before = file.read_text()
    nnUNetPlannerFactorizer(DATASET).plan_experiment()
    with pytest.raises(FileExistsError, match=r"says something else about 2d, 3d_fullres\. The file was not changed"):
        nnUNetPlannerFactorizer(DATASET, matricize="local", plans_name="nnUNetFactorizerPlans").plan_experiment()
    write_fingerprint(folder, mean=7.0)
    with pytest.raises(FileExistsError, match="foreground_intensity_properties_per_channel"):
        nnUNetPlannerFactorizer(DATASET).plan_experiment()
    assert file.read_text() == before


@pytest.fixture
def preprocessed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[list[str]]]:
    """Plans, the folder of their data with every case in it, and the configurations nnU-Net was asked to do."""
    nnUNetPlannerFactorizer(DATASET).plan_experiment()
    data = folder / "nnUNetPlans_3d_fullres"
    data.mkdir()
    for case in range(3):
        (data / f"phantom_Tr{case:03d}.pkl").touch()
    asked: list[list[str]] = []
    monkeypatch.setattr(
        preprocess, "preprocess_dataset", lambda _, __, configurations, *rest: asked.append(configurations)
    )
    return data, asked


def run_preprocess() -> None:
    preprocess.preprocess_missing(997, "nnUNetFactorizerPlans", ["3d_fullres", "3d_lowres"], [1, 1])


def test_complete_data_are_left_alone(preprocessed: tuple[Path, list[list[str]]]) -> None:
    run_preprocess()
    assert preprocessed[1] == [["3d_lowres"]]


@pytest.mark.parametrize("how", ["half-written", "image changed"])
def test_data_that_are_not_up_to_date_are_made_again(preprocessed: tuple[Path, list[list[str]]], how: str) -> None:
    data, asked = preprocessed
    spoil(data, how)
    run_preprocess()
    assert asked == [["3d_fullres", "3d_lowres"]]


@pytest.mark.parametrize("how", ["half-written", "image changed"])
def test_data_of_nnunets_plans_are_never_deleted(preprocessed: tuple[Path, list[list[str]]], how: str) -> None:
    data, asked = preprocessed
    ExperimentPlanner(DATASET).plan_experiment()
    spoil(data, how)
    with pytest.raises(FileExistsError, match="nnUNetv2_preprocess -d 997 -plans_name nnUNetPlans -c 3d_fullres"):
        run_preprocess()
    assert not asked


def spoil(data: Path, how: str) -> None:
    if how == "half-written":
        (data / "phantom_Tr001.pkl").unlink()
    else:
        raw = Path(str(nnunetv2.paths.nnUNet_raw)) / DATASET / "imagesTr" / "phantom_Tr001_0002.nii.gz"
        os.utime(raw, (time.time() + 60,) * 2)
