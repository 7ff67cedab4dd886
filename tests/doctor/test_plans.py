"""Plans are usable where every network can be built and takes its patch."""

import json
from pathlib import Path
from typing import Any

import pytest

from nnunetv2_factorizer.doctor.finding import Finding
from nnunetv2_factorizer.doctor.plans import examine
from tests.training.small_trainer import DATASET, dataset_json, plans
from tests.training.test_trainers import UNET, UNET_KWARGS


def write(folder: Path, content: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(dataset_json()))
    path = folder / "plans.json"
    path.write_text(json.dumps(content))
    return path


def last(folder: Path, content: Any) -> Finding:
    return examine(write(folder, content))[-1]


def test_plans_of_a_factorizer(tmp_path: Path) -> None:
    first, configuration = examine(write(tmp_path, plans()))
    assert first == Finding("plans", "ok", f"nnUNetFactorizerPlans of {DATASET}")
    assert configuration.name == "plans 3d_fullres"
    assert configuration.status == "ok"
    assert configuration.what.endswith("parameters, patch 8 x 16 x 16, batch size 2")


def test_plans_of_nnunet_are_built_as_a_factorizer(tmp_path: Path) -> None:
    content = plans()
    configuration = content["configurations"]["3d_fullres"]
    configuration["architecture"] = {
        "network_class_name": UNET,
        "arch_kwargs": UNET_KWARGS,
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
    assert last(tmp_path, content).status == "ok"


@pytest.mark.parametrize(
    ("edited", "cause"),
    [({"head_dim": 5}, "head_dim must divide the channels"), ({"windows": 4}, "unexpected keyword argument 'windows'")],
)
def test_networks_that_cannot_be_built(tmp_path: Path, edited: dict[str, Any], cause: str) -> None:
    finding = last(tmp_path, plans(**edited))
    assert finding.status == "error"
    assert cause in finding.what
    assert f"Mend configuration 3d_fullres in {tmp_path / 'plans.json'}" in finding.remedy


@pytest.mark.parametrize(
    ("patch", "cause"),
    [
        ([8, 16, 18], "divisible by the product of the strides, [2, 4, 4], got [8, 16, 18]"),
        ([8, 16, 32], "[8, 16, 32] for the data and [8, 16, 16] for the network"),
    ],
)
def test_patches_that_do_not_fit(tmp_path: Path, patch: list[int], cause: str) -> None:
    content = plans()
    content["configurations"]["3d_fullres"]["patch_size"] = patch
    finding = last(tmp_path, content)
    assert finding.status == "error"
    assert cause in finding.what


@pytest.mark.parametrize("key", ["conv_op", "nonlin"])
def test_unknown_modules_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    (tmp_path / "stranger.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    monkeypatch.syspath_prepend(tmp_path)
    content = plans(**{key: "stranger.Conv3d"})
    content["configurations"]["3d_fullres"]["architecture"]["_kw_requires_import"] = [key]
    finding = last(tmp_path, content)
    assert finding.status == "warning"
    assert finding.what == "not built: it names stranger.Conv3d, which the doctor does not import"
    assert not (tmp_path / "ran").exists()


def test_names_from_the_file_are_quoted(tmp_path: Path) -> None:
    first = examine(write(tmp_path / "Dataset111_Other", plans() | {"dataset_name": "x; touch y"}))[0]
    assert "-s 'x; touch y' -t Dataset111_Other" in first.remedy


def test_plans_of_another_data_set(tmp_path: Path) -> None:
    first = examine(write(tmp_path / "Dataset111_Other", plans()))[0]
    assert first.status == "error"
    assert first.what == f"are of {DATASET}, in the folder of Dataset111_Other"


def test_what_is_no_plans_file(tmp_path: Path) -> None:
    path = write(tmp_path, [1, 2])
    assert examine(path)[0].what == f"{path} holds a list"
    path.write_text("{")
    assert "is no JSON file" in examine(path)[0].what
    path.write_text("{}")
    assert examine(path)[0].what == f"{path} lacks dataset_name, plans_name, configurations"
    assert "No such file" in examine(tmp_path / "nowhere.json")[0].what
