"""The benchmark of trainings for other scanners: its data, its rows, what it keeps, and its tables."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from scipy import ndimage
from torch import Tensor, nn

pytest.importorskip("monai", reason="MONAI makes the images of scanner B: pip install '.[tune]'")

from benchmarks.learning import data as learning_data
from benchmarks.training_for_scanners import aiva, cleaning, sites, unseen
from benchmarks.training_for_scanners.data import LABELS, SITES, TARGETS, sites_of
from benchmarks.training_for_scanners.experiments import EXPERIMENTS
from benchmarks.training_for_scanners.oracle import MaskBehind
from benchmarks.training_for_scanners.phantoms import SIZE, make_case
from benchmarks.training_for_scanners.results import print_tables
from benchmarks.training_for_scanners.training import ITERATIONS_PER_EPOCH
from nnunetv2_factorizer.adaptation.cleaning.corrected import write_case
from nnunetv2_factorizer.adaptation.cleaning.trainer import WORK


def test_each_row_is_a_trainer_and_each_control_is_there() -> None:
    trainers = [make() for make in (*unseen.ARMS.values(), *sites.ARMS.values(), *cleaning.TRAINERS.values())]
    trainers += [trainer for trainer, _ in aiva.ARMS.values() if trainer is not None]
    assert all(issubclass(trainer, nnUNetTrainer) for trainer in trainers)
    assert {scanner for _, scanner in aiva.ARMS.values()} == {None, *TARGETS}
    assert {data for data, _ in cleaning.ARMS.values()} == set(LABELS)
    for module in EXPERIMENTS.values():
        assert module.ITERATIONS % ITERATIONS_PER_EPOCH == 0


def test_sites_have_the_same_number_of_cases_and_folds_are_those_of_nnunet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [f"case_{number:02d}" for number in range(30)]
    drawn = sites_of(cases)
    assert sites_of(cases[::-1]) == drawn
    assert [list(drawn.values()).count(site) for site in SITES] == [10, 10, 10]
    assert [drawn[case] for case in cases[:6]] != [*SITES, *SITES]
    monkeypatch.setattr(learning_data, "nnUNet_preprocessed", tmp_path)
    monkeypatch.setattr(learning_data, "nnUNet_raw", tmp_path)
    monkeypatch.setattr(learning_data, "get_filenames_of_train_images_and_targets", lambda _: dict.fromkeys(cases))
    (tmp_path / "Dataset001_A").mkdir()
    written = learning_data.folds("Dataset001_A")
    assert [(len(fold["train"]), len(fold["val"])) for fold in written] == [(24, 6)] * 5
    monkeypatch.setattr(learning_data, "get_filenames_of_train_images_and_targets", None)  # is not asked again
    assert learning_data.folds("Dataset001_A") == written


def test_a_phantom_has_several_objects_of_each_class_apart_and_of_another_brightness() -> None:
    image, labels = make_case(np.random.default_rng(0))
    again, _ = make_case(np.random.default_rng(0))
    np.testing.assert_array_equal(image, again)
    assert image.shape == labels.shape == SIZE
    assert all(ndimage.label(labels == label)[1] >= 2 for label in (1, 2))
    assert ndimage.label(labels > 0)[1] == sum(ndimage.label(labels == label)[1] for label in (1, 2))
    background = image[labels == 0].mean()
    assert image[labels == 2].mean() < background - 15 < background + 15 < image[labels == 1].mean()


def test_the_oracle_is_given_the_mask_behind_the_image_and_background_where_it_was_padded() -> None:
    class Network(nn.Module):
        given: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            assert self.given is not None
            return torch.cat([x, self.given], 1)

    network: Any = Network()
    image, mask = torch.randn(1, 1, 2, 2, 2), torch.zeros(1, 3, 2, 2, 2)
    mask[:, 2, 0] = 1  # of the other half, all classes are 0: padding
    out = MaskBehind(network, 1)(torch.cat([image, mask], 1))
    torch.testing.assert_close(out[:, :1], image)
    torch.testing.assert_close(out[:, 3], mask[:, 2])
    torch.testing.assert_close(out[:, 1], 1 - mask[:, 2])
    assert network.given is None


def test_the_dice_of_labels_is_that_of_the_corrected_ones_where_there_are_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = {"wrong": np.array([[0, 0, 1, 1]]), "true": np.array([[0, 1, 1, 1]])}

    class Dataset:
        def __init__(self, folder: str, identifiers: list[str]) -> None:
            self.name, self.identifiers = Path(folder).parent.name, identifiers

        def load_case(self, _: str) -> Any:
            return None, labels[self.name], None, {}

    monkeypatch.setattr(cleaning, "folds", lambda _: [{"train": ["a", "b"]}])
    monkeypatch.setattr(cleaning, "nnUNet_preprocessed", tmp_path)
    watched: Any = SimpleNamespace(
        truth="true", preprocessed_dataset_folder=str(tmp_path / "wrong" / "plans"), output_folder=str(tmp_path),
        dataset_class=Dataset, _cases=["a", "b"],
    )  # fmt: skip
    assert cleaning.Watched.dice_of_labels(watched) == pytest.approx(0.8)  # 2 2 / (2 + 3), in both cases
    write_case(tmp_path / WORK, "b", labels["true"], {1: np.zeros((0, 2))})
    assert cleaning.Watched.dice_of_labels(watched) == pytest.approx(0.9)


def write(out: Path, experiment: str, arm: str, seed: int, values: dict[str, float], **others: Any) -> None:
    run = {"experiment": experiment, "arm": arm, "iterations": 250, "seed": seed, "values": values, **others}
    (out / f"{experiment}_{arm}_{seed}.json").write_text(json.dumps(run))


def test_tables_have_a_row_an_arm_in_order_and_a_curve_of_the_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "sites", "NormPerSite", 0, {"A": 0.8, "B3": 0.3})
    write(tmp_path, "sites", "Muon", 0, {"A": 0.7, "B3": 0.4, "told": 0.9})
    write(tmp_path, "sites", "Muon", 1, {"A": 0.8, "B3": 0.2, "told": 0.7})
    curve = {"label_curve": [0.5, 0.5, 0.6, 0.75], "corrected_from_epoch": {"2": 2, "1": 1}}
    write(tmp_path, "cleaning", "objects: CleanLabels", 0, {"Dice": 0.5}, **curve)
    print_tables(tmp_path)
    rows = capsys.readouterr().out.splitlines()
    start = rows.index("| sites | iterations | seeds | A | B3 | told |")
    assert rows[start + 2] == (
        "| Muon | 250 | 2 | 0.750 (0.700 to 0.800) | 0.300 (0.200 to 0.400) | 0.800 (0.700 to 0.900) |"
    )
    assert rows[start + 3] == "| NormPerSite | 250 | 1 | 0.800 | 0.300 |  |"
    assert rows[-1].startswith("| objects: CleanLabels, 250 | 0.500 | 0.500 |")
    assert rows[-1].endswith("| 0.750 | 1: 1, 2: 2 |")
    assert not [row for row in rows if row.startswith("| unseen")]
