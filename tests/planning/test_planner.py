"""Planning from a fingerprint: what the plans say, whose data they share, and what is left alone."""

import json
import os
import shlex
import subprocess
import time
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import nnunetv2.paths
import pytest
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_factorizer.cli import plan_and_preprocess
from nnunetv2_factorizer.demo.phantom import write_dataset
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.families import FACTORIZER, FAMILIES, UNET_IMPORTS, UNET_READS, Family
from nnunetv2_factorizer.models.json_files import read_json
from nnunetv2_factorizer.network import Factorizer
from nnunetv2_factorizer.planning import preprocess
from nnunetv2_factorizer.planning.budget import peak_of_step, usable_bytes
from nnunetv2_factorizer.planning.planner import FamilyPlanner
from nnunetv2_factorizer.planning.report import chosen
from nnunetv2_factorizer.plans import PLANNERS
from nnunetv2_factorizer.plans.presets import (
    nnUNetPlannerHybridFactorizerL,
    nnUNetPlannerHybridFactorizerM,
    nnUNetPlannerHybridFactorizerXL,
    nnUNetPlannerLocalFactorizer,
    nnUNetPlannerSwinFactorizer,
    nnUNetPlannerSwinFactorizerBraTS,
    nnUNetPlannerSwinFactorizerISLES,
)

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


def write_fingerprint(
    folder: Path,
    mean: float = 100.0,
    shape: tuple[int, ...] = (60, 100, 90),
    spacing: tuple[float, ...] = (1.0, 1.0, 1.0),
    channels: int = 4,
) -> None:
    statistics = {"max": 900.0, "mean": mean, "median": 90.0, "min": 0.0, "percentile_00_5": 1.0,
                  "percentile_99_5": 800.0, "std": 50.0}  # fmt: skip
    fingerprint = {
        "spacings": [list(spacing)] * 3,
        "shapes_after_crop": [list(shape)] * 3,
        "foreground_intensity_properties_per_channel": {str(channel): statistics for channel in range(channels)},
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
        assert all(len(stride) == len(plan["patch_size"]) for stride in architecture["arch_kwargs"]["strides"])


def peaks(plans: dict[str, Any]) -> dict[str, int]:
    """Bytes of a training step of each configuration, for the four channels and three labels of the phantom."""
    return {
        name: peak_of_step(
            FACTORIZER, plan["architecture"]["arch_kwargs"], plan["patch_size"], 4, 3, plan["batch_size"]
        )
        for name, plan in configurations(plans).items()
        if "architecture" in plan
    }


@pytest.mark.slow
def test_presets_fill_their_gpu_and_no_more(folder: Path) -> None:
    write_fingerprint(folder, shape=(300, 400, 360))
    voxels = []
    for planner in (nnUNetPlannerHybridFactorizerM, nnUNetPlannerHybridFactorizerL, nnUNetPlannerHybridFactorizerXL):
        plans = planner(DATASET).plan_experiment()
        budget = usable_bytes(planner.gpu_memory_target_in_gb)
        assert max(peaks(plans).values()) <= budget
        assert peaks(plans)["3d_fullres"] > 0.7 * budget
        plan = configurations(plans)["3d_fullres"]
        voxels.append(plan["batch_size"] * prod(plan["patch_size"]))
    assert voxels == sorted(set(voxels))


@pytest.mark.parametrize(("target", "spacing"), [(1.5, (1.0, 1.0, 1.0)), (3, (6.0, 1.0, 1.0))])
def test_every_plan_fits(folder: Path, target: float, spacing: tuple[float, ...]) -> None:
    write_fingerprint(folder, shape=(32, 192, 160), spacing=spacing)
    plans = nnUNetPlannerHybridFactorizerM(DATASET, target).plan_experiment()
    assert max(peaks(plans).values()) <= usable_bytes(target)


@pytest.mark.parametrize("planner", [nnUNetPlannerHybridFactorizerM, nnUNetPlannerSwinFactorizerBraTS])
def test_budget_too_small_names_the_smallest_that_would_do(folder: Path, planner: type[FamilyPlanner]) -> None:
    with pytest.raises(UserError, match=r"nothing fits into a GPU memory target of 0\.4 GB") as error:
        planner(DATASET, 0.4).plan_experiment()
    assert not list(folder.glob("*Plans.json"))
    smallest = float(str(error.value).split("-gpu_memory_target ")[1])
    with pytest.raises(UserError):
        planner(DATASET, smallest - 0.11).plan_experiment()
    assert max(peaks(planner(DATASET, smallest).plan_experiment()).values()) <= usable_bytes(smallest)


@pytest.mark.parametrize(
    ("shape", "target", "message"),
    [
        ((7, 7, 7), 8, "images of 7x7x7 voxels are too small for a network of two stages"),
        ((30, 7, 7), 8, "images of 7x7 voxels are too small"),
        ((3, 500, 500), 0.6, "nothing fits into a GPU memory target of 0.6 GB"),
    ],
)
def test_no_plan_has_a_reason(folder: Path, shape: tuple[int, ...], target: float, message: str) -> None:
    write_fingerprint(folder, shape=shape)
    with pytest.raises(UserError, match=message):
        nnUNetPlannerHybridFactorizerM(DATASET, target).plan_experiment()


def change_dataset(folder: Path, **changes: Any) -> dict[str, Any]:
    path = folder.parents[1] / "nnUNet_raw" / DATASET / "dataset.json"
    dataset_json = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(dataset_json))
    return dataset_json


def test_batch_follows_the_memory_where_the_data_set_is_large(folder: Path) -> None:
    change_dataset(folder, numTraining=300)
    write_fingerprint(folder, shape=(16, 128, 128))
    plans = nnUNetPlannerHybridFactorizerM(DATASET, 3).plan_experiment()
    assert 0.9 * usable_bytes(3) < peaks(plans)["2d"] <= usable_bytes(3)


def test_a_cascade_with_many_labels_gets_a_smaller_batch(folder: Path) -> None:
    labels = {"background": 0} | {f"organ {i}": i for i in range(1, 60)}
    dataset_json = change_dataset(folder, labels=labels)
    write_fingerprint(folder, shape=(300, 400, 360))
    plans = nnUNetPlannerSwinFactorizerBraTS(DATASET, 9.5).plan_experiment()
    manager = PlansManager(plans)
    fullres, cascade = (manager.get_configuration(name) for name in ("3d_fullres", "3d_cascade_fullres"))
    assert fullres.batch_size == 2
    assert cascade.batch_size == 1
    peak = partial(peak_of_step, FACTORIZER, cascade.network_arch_init_kwargs, cascade.patch_size, 4 + 59, 60)
    assert peak(1) <= usable_bytes(9.5) < peak(2)
    assert any(paragraph.startswith("3d_cascade_fullres: ") for paragraph in chosen(plans, dataset_json))


def test_report_knows_configurations_that_inherit(folder: Path) -> None:
    plans = nnUNetPlannerHybridFactorizerM(DATASET).plan_experiment()
    configurations(plans)["mine"] = {"inherits_from": "3d_fullres", "batch_size": 3}
    dataset_json = {"channel_names": dict.fromkeys("0123", "MR"), "labels": {"background": 0, "a": 1, "b": 2}}
    [paragraph] = [p for p in chosen(plans, dataset_json) if p.startswith("mine: ")]
    assert "batch size 3" in paragraph
    assert "local path: depthwise" in paragraph


@pytest.mark.parametrize("target", [4, 24])
def test_stages_without_kernels_keep_their_layers_where_that_fits(folder: Path, target: float) -> None:
    plans = nnUNetPlannerSwinFactorizer(DATASET, target).plan_experiment()
    for plan in configurations(plans).values():
        if "architecture" not in plan:
            continue
        kwargs = plan["architecture"]["arch_kwargs"]
        keeping = kwargs | {"recompute": [width <= 64 for width in kwargs["features_per_stage"]]}
        # as many channels as the second stage of a cascade has
        peak = peak_of_step(FACTORIZER, keeping, plan["patch_size"], 4 + 2, 3, plan["batch_size"])
        assert (peak <= usable_bytes(target)) == (kwargs == keeping)
        assert kwargs == keeping or "recompute" not in kwargs


def test_thick_slices_get_flat_windows(folder: Path) -> None:
    write_fingerprint(folder, shape=(24, 320, 256), spacing=(6.0, 0.6, 0.6))
    plan = configurations(nnUNetPlannerHybridFactorizerM(DATASET).plan_experiment())["3d_fullres"]
    windows = plan["architecture"]["arch_kwargs"]["window_size"]
    assert windows[0] == [1, 8, 8]
    assert windows[3] == [8, 8, 8]  # by then the strides have made the spacing even


@pytest.mark.parametrize(
    ("planner", "shape", "spacing", "channels", "side", "head_dim", "mlp_ratio"),
    [
        (nnUNetPlannerSwinFactorizerBraTS, (155, 240, 240), 1.0, 4, 128, 8, 2),
        (nnUNetPlannerSwinFactorizerISLES, (73, 112, 112), 2.0, 2, 64, 4, 4),
    ],
)
def test_papers_settings(
    folder: Path, planner: type, shape: tuple, spacing: float, channels: int, side: int, head_dim: int, mlp_ratio: int
) -> None:
    write_fingerprint(folder, shape=shape, spacing=(spacing,) * 3, channels=channels)
    plan = configurations(planner(DATASET).plan_experiment())["3d_fullres"]
    network = plan["architecture"]["arch_kwargs"]
    assert plan["patch_size"] == network["patch_size"] == [side] * 3
    assert plan["batch_size"] >= 2
    assert (network["head_dim"], network["window_size"], network["mlp_ratio"]) == (head_dim, head_dim, mlp_ratio)
    assert network["features_per_stage"] == [32, 64, 128, 256, 512]


def test_windows_are_the_same_for_every_patch(folder: Path) -> None:
    """So that weights move between them."""
    for side in (130, 66):
        write_fingerprint(folder, shape=(side,) * 3)
        plans = nnUNetPlannerSwinFactorizer(DATASET, plans_name=f"Side{side}").plan_experiment()
        network = configurations(plans)["3d_fullres"]["architecture"]["arch_kwargs"]
        assert network["window_size"] == [[8] * 3] * network["n_stages"]
        assert network["head_dim"] == 8


@pytest.mark.parametrize("recompute", [True, False])
def test_patch_is_larger_where_less_than_the_unet_is_kept_and_smaller_where_more(folder: Path, recompute: bool) -> None:
    class Planner(nnUNetPlannerSwinFactorizer):
        choices = nnUNetPlannerSwinFactorizer.choices | {"recompute": recompute}

    write_fingerprint(folder, shape=(192, 192, 192))
    ours, theirs = (
        prod(configurations(planner(DATASET).plan_experiment())["3d_fullres"]["patch_size"])
        for planner in (Planner, ExperimentPlanner)
    )
    assert (ours > theirs) is recompute


def test_a_network_that_is_no_factorizer_needs_one_entry(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    residual = Family(
        class_name="dynamic_network_architectures.architectures.unet.ResidualEncoderUNet",
        reads=UNET_READS,
        kw_requires_import=UNET_IMPORTS,
    )
    monkeypatch.setitem(FAMILIES, "Residual", residual)

    class nnUNetPlannerResidual(FamilyPlanner):
        family = residual
        choices: ClassVar = {"n_blocks_per_stage": 1}

    plans = nnUNetPlannerResidual(DATASET, 4).plan_experiment()
    assert plans["plans_name"] == "nnUNetResidualPlans"
    plan = configurations(plans)["3d_fullres"]
    architecture = plan["architecture"]
    network = get_network_from_plans(
        architecture["network_class_name"], architecture["arch_kwargs"], architecture["_kw_requires_import"], 4, 3
    )
    assert type(network).__name__ == "ResidualEncoderUNet"
    peak = peak_of_step(residual, architecture["arch_kwargs"], plan["patch_size"], 4, 3, plan["batch_size"])
    assert 0.3 * usable_bytes(4) < peak <= usable_bytes(4)
    dataset_json = read_json(folder.parents[1] / "nnUNet_raw" / DATASET / "dataset.json")
    assert "3d_fullres: patches of" in "".join(chosen(plans, dataset_json))


@pytest.mark.parametrize("name", PLANNERS)
def test_planners_and_plans_are_named_after_what_they_plan(folder: Path, name: str) -> None:
    planner = PLANNERS[name](DATASET)
    variant = name.removeprefix("nnUNetPlanner").partition("Factorizer")[0]
    assert planner.choices == FACTORIZER.variants[variant]
    assert planner.plans_identifier == name.replace("Planner", "") + "Plans"


def test_the_default_is_what_readme_recommends() -> None:
    assert plan_and_preprocess._parser().parse_args(["-d", "1"]).pl == "nnUNetPlannerHybridFactorizerM"


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
    assert shared(nnUNetPlannerSwinFactorizer(DATASET).plan_experiment()) == {"2d": True, "3d_fullres": True}


@pytest.mark.parametrize("stock_first", [True, False])
def test_data_of_another_spacing_or_order_of_axes_are_not_shared(folder: Path, stock_first: bool) -> None:
    if stock_first:
        ExperimentPlanner(DATASET).plan_experiment()
    plans = nnUNetPlannerSwinFactorizer(DATASET, overwrite_target_spacing=[1.0, 1.0, 2.0]).plan_experiment()
    assert plans["transpose_forward"] == [2, 0, 1]
    assert shared(plans) == {"2d": False, "3d_fullres": False}


def test_data_normalised_by_other_statistics_are_not_shared(folder: Path) -> None:
    ExperimentPlanner(DATASET).plan_experiment()
    write_fingerprint(folder, mean=7.0)
    assert shared(nnUNetPlannerSwinFactorizer(DATASET).plan_experiment()) == {"2d": False, "3d_fullres": False}


def test_same_plans_again_are_fine_and_others_are_refused(folder: Path) -> None:
    nnUNetPlannerSwinFactorizer(DATASET).plan_experiment()
    file = folder / "nnUNetSwinFactorizerPlans.json"
    before = file.read_text()
    nnUNetPlannerSwinFactorizer(DATASET).plan_experiment()
    with pytest.raises(UserError, match=r"about experiment_planner_used, 2d, 3d_fullres\. The file was not changed"):
        nnUNetPlannerLocalFactorizer(DATASET, plans_name="nnUNetSwinFactorizerPlans").plan_experiment()
    write_fingerprint(folder, mean=7.0)
    with pytest.raises(UserError, match="foreground_intensity_properties_per_channel"):
        nnUNetPlannerSwinFactorizer(DATASET).plan_experiment()
    assert file.read_text() == before


@pytest.fixture
def preprocessed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[list[str]]]:
    """Plans, the folder of their data with every case in it, and the configurations nnU-Net was asked to do."""
    nnUNetPlannerSwinFactorizer(DATASET).plan_experiment()
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
    preprocess.preprocess_missing(997, "nnUNetSwinFactorizerPlans", ["3d_fullres", "3d_lowres"], [1, 1])


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
    with pytest.raises(UserError, match="nnUNetv2_preprocess -d 997 -plans_name nnUNetPlans -c 3d_fullres") as error:
        run_preprocess()
    assert not asked
    if how == "image changed":  # or only copied: then the command of the message is enough
        command = error.value.remedy.splitlines()[0].partition("new times: ")[2]
        later = time.time() + 120
        subprocess.run(shlex.split(command.replace("touch", f"touch -d @{later:.0f}")), check=True)
        run_preprocess()
        assert asked == [["3d_lowres"]]


def spoil(data: Path, how: str) -> None:
    if how == "half-written":
        (data / "phantom_Tr001.pkl").unlink()
    else:
        raw = Path(str(nnunetv2.paths.nnUNet_raw)) / DATASET / "imagesTr" / "phantom_Tr001_0002.nii.gz"
        os.utime(raw, (time.time() + 60,) * 2)
