"""Which binary data sets there are, and which patches of them make a task."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.pretraining.reptile_sources import VARIABLE, Pair, find_pairs, further_pairs
from nnunetv2_factorizer.pretraining.reptile_tasks import MetaTask, TaskSampler, inner_batches, rates
from tests.pretraining.labelled import InMemory, write_dataset
from tests.training.small_trainer import plans

LENGTH = 40


def rod(first: int = 4, last: int = 34) -> tuple[np.ndarray, np.ndarray]:
    """A volume whose voxels are numbered by the last axis, its longest; label 1 in `first` to `last - 1` of it."""
    size = (12, 20, LENGTH)
    label = np.zeros((1, *size), np.int8)
    label[0, 4:8, 5:15, first:last] = 1
    return np.broadcast_to(np.arange(LENGTH, dtype=np.float32), (1, *size)).copy(), label


def pair_of(cases: dict[str, Any]) -> Pair:
    return find_pairs(InMemory(cases), "organ", LabelManager({"background": 0, "a": 1}, None))[0]


def draw(pair: Pair, patch: tuple[int, ...], shots: int, standard: bool = False, seed: int = 0) -> MetaTask:
    sampler = TaskSampler([pair], patch, shots, standard, 3, 2)
    return sampler.draw(np.random.default_rng(seed), with_unseen=True)


@pytest.mark.parametrize("number", [5, 15])
def test_slices_of_one_volume_with_the_step_of_the_paper(number: int) -> None:
    label = np.zeros((1, 32, 16, 16), np.int8)
    label[0, 3:31, 4:9, 4:9] = 1
    image = np.broadcast_to(np.arange(32, dtype=np.float32)[:, None, None], label.shape)
    pair = pair_of({"a": (image, label), "b": (image, label)})
    task = draw(pair, (16, 16), number)
    assert task.shots["data"].shape == (len(task.shots["keys"]), 1, 16, 16)
    assert len(set(task.shots["keys"])) == 1
    slices = [int(x.unique()) for x in task.shots["data"]]
    assert slices == list(range(3, 31, -(-28 // number)))
    assert len(slices) <= number
    assert (task.shots["target"].flatten(1).amax(1) == 1).all()
    assert task.unseen is not None
    assert set(task.unseen["keys"]).isdisjoint(task.shots["keys"])


def test_patches_are_evenly_spaced_on_the_longest_axis() -> None:
    pair = pair_of({"a": rod()})
    task = draw(pair, (8, 8, 8), 5)
    starts = [int(x.min()) for x in task.shots["data"]]
    assert starts == list(range(0, LENGTH - 8 + 1, 6))[:5]  # of the 30 places 0 to 29
    assert (task.shots["target"].flatten(1).amax(1) == 1).all()
    again = draw(pair, (8, 8, 8), 5, seed=1)
    assert [int(x.min()) for x in again.shots["data"]] == starts  # what is left out never takes part
    assert task.unseen is not None
    assert set(task.unseen["keys"]) == {"a"}  # there is no other


def test_an_image_smaller_than_the_patch_is_one_shot() -> None:
    image, label = rod()
    task = draw(pair_of({"a": (image, label)}), (16, 24, 44), 15)
    assert task.shots["data"].shape == (1, 1, 16, 24, 44)
    assert torch.equal(task.shots["target"][0, 0, 2:14, 2:22, 2:42], torch.from_numpy(label[0]))
    assert task.shots["target"].sum() == label.sum()
    assert [index.tolist() for index in task.steps] == [[0]] * 3


def test_standard_tasks_come_from_several_volumes() -> None:
    task = draw(pair_of({name: rod() for name in "abcdef"}), (8, 8, 8), 12, standard=True)
    assert len(task.shots["keys"]) == 12
    assert len(set(task.shots["keys"])) > 1
    assert (task.shots["target"].flatten(1).amax(1) == 1).all()


def test_natural_images_are_cut_on_their_longer_side() -> None:
    image, label = rod()
    task = draw(pair_of({"a": (image[:, 5:6], label[:, 5:6])}), (8, 8), 5)
    assert task.shots["data"].shape == (5, 1, 8, 8)
    assert [int(x.min()) for x in task.shots["data"]] == [0, 6, 12, 18, 24]


def test_every_channel_and_every_label_or_region() -> None:
    image, label = rod()
    image, label = np.concatenate([image, -image]), label.copy()
    label[0, 4:8, 5:15, 30:34] = 2
    label[0, 0] = 3  # ignored
    classes = InMemory({"a": (image, label), "b": (image, np.minimum(label, 1))})
    labels = LabelManager({"background": 0, "x": 1, "y": 2, "z": 4, "ignore": 5}, None)
    pairs = find_pairs(classes, "organ", labels)
    assert [(p.channel, p.label, p.cases) for p in pairs] == [
        (channel, label, cases) for channel in (0, 1) for label, cases in ((1, ("a", "b")), (2, ("a",)))
    ]
    region = Pair(classes, "organ", 1, (1, 2), 3, ("a",))
    found, target = region.patch("a", (0, 5, 28), (12, 4, 4))
    assert np.array_equal(found, image[1:, :, 5:9, 28:32])
    assert np.array_equal(target == 1, np.isin(label[:, :, 5:9, 28:32], (1, 2)))
    assert np.array_equal(target == -1, label[:, :, 5:9, 28:32] == 3)


def test_rates_are_fair_to_organs() -> None:
    assert rates(["brain"] * 4 + ["heart"] + ["prostate"] * 2) == pytest.approx([1 / 12] * 4 + [1 / 3] + [1 / 6] * 2)
    pairs = [Pair(None, organ, 0, 1, None, ()) for organ in ("brain", "brain", "brain", "heart")]
    rng, probabilities = np.random.default_rng(0), rates([pair.organ for pair in pairs])
    drawn = rng.choice(4, 4000, p=probabilities)
    assert np.mean(drawn == 3) == pytest.approx(0.5, abs=0.05)


def test_all_shots_take_part_before_one_does_again() -> None:
    batches = inner_batches(6, 2, 7, np.random.default_rng(0))
    assert [len(batch) for batch in batches] == [2] * 7
    for start in (0, 3):
        assert sorted(np.concatenate(batches[start : start + 3])) == list(range(6))


def changed(**changes: Any) -> dict[str, Any]:
    the_plans = plans()
    the_plans["configurations"]["3d_fullres"] |= changes
    return the_plans


@pytest.fixture
def preprocessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for kind in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{kind}", str(tmp_path / kind))
    monkeypatch.setenv(VARIABLE, "996")
    return tmp_path / "preprocessed"


def test_data_sets_that_the_variable_names(preprocessed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(preprocessed, "Dataset996_Dark", channels=2, cases=1)
    write_dataset(preprocessed, "Dataset995_Faint", cases=1)
    monkeypatch.setenv(VARIABLE, "996 Dataset995_Faint, Dataset997_Small")
    found = further_pairs(PlansManager(plans()), "3d_fullres")
    assert [(p.organ, p.channel) for p in found] == [
        ("Dataset996_Dark", 0), ("Dataset996_Dark", 1), ("Dataset995_Faint", 0),
    ]  # fmt: skip
    monkeypatch.delenv(VARIABLE)
    assert further_pairs(PlansManager(plans()), "3d_fullres") == []


@pytest.mark.parametrize(
    ("the_plans", "message"),
    [
        (changed(patch_size=[8, 16, 8]), r"patch_size of 3d_fullres is \[8.0, 16.0, 8.0\] in .*, \[8.0, 16.0, 16.0\]"),
        (changed(patch_size=[16, 16]), "patch_size"),
        (changed(spacing=[1.0, 1.0, 2.0]), r"spacing .* a voxel would not mean the same"),
        (plans() | {"configurations": {}}, "has no configuration 3d_fullres"),
        (changed(data_identifier="elsewhere"), "is not preprocessed: .*elsewhere is missing or empty"),
    ],
)
def test_other_plans_are_refused(preprocessed: Path, the_plans: dict[str, Any], message: str) -> None:
    write_dataset(preprocessed, "Dataset996_Dark", cases=1, the_plans=the_plans)
    with pytest.raises(UserError, match=message) as caught:
        further_pairs(PlansManager(plans()), "3d_fullres")
    assert "nnUNetv2_preprocess -d Dataset996_Dark -plans_name nnUNetFactorizerPlans -c 3d" in caught.value.remedy


def test_what_is_not_there_is_refused(preprocessed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="names 996: Could not find a dataset with the ID 996"):
        further_pairs(PlansManager(plans()), "3d_fullres")
    base = write_dataset(preprocessed, "Dataset996_Dark", cases=1)
    (base / "nnUNetFactorizerPlans.json").unlink()
    with pytest.raises(UserError, match="Dataset996_Dark has no plans nnUNetFactorizerPlans"):
        further_pairs(PlansManager(plans()), "3d_fullres")
    monkeypatch.setenv(VARIABLE, "heart")
    with pytest.raises(UserError, match="names heart"):
        further_pairs(PlansManager(plans()), "3d_fullres")


def test_a_data_set_without_labels_is_refused(preprocessed: Path) -> None:
    base = write_dataset(preprocessed, "Dataset996_Dark", cases=1)
    dataset = json.loads((base / "dataset.json").read_text())
    (base / "dataset.json").write_text(json.dumps(dataset | {"labels": {"background": 0, "other": 2}}))
    with pytest.raises(UserError, match=r"none of the cases in .* has a label"):
        further_pairs(PlansManager(plans()), "3d_fullres")
