"""A bank from preprocessed training images in nnU-Net's own format, and what is said where they are not there."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_factorizer.adaptation.style.bank import Bank, Style
from nnunetv2_factorizer.adaptation.style.making import make_bank
from nnunetv2_factorizer.adaptation.style.srsim import middle_slice, training_slices
from nnunetv2_factorizer.errors import UserError
from tests.adaptation.style.images import image
from tests.training.small_trainer import DATASET, dataset_json, plans

SIZES = {"a": (8, 20, 17), "b": (6, 24, 13), "c": (8, 20, 20)}


def save_case(folder: Path, name: str, data: np.ndarray) -> None:
    labels = np.zeros((1, *data.shape[1:]), np.int8)
    sizes = {"chunks": data.shape, "blocks": data.shape, "chunks_seg": labels.shape, "blocks_seg": labels.shape}
    nnUNetDatasetBlosc2.save_case(data, labels, {}, str(folder / name), **sizes)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A trained fold whose checkpoint has hardly any weights, and its three preprocessed images."""
    base = tmp_path / "preprocessed" / DATASET
    folder = data_folder(tmp_path)
    folder.mkdir(parents=True)
    for seed, (name, size) in enumerate(SIZES.items()):
        save_case(folder, name, image(seed, size).numpy())
    (base / "splits_final.json").write_text(json.dumps([{"train": ["b", "a"], "val": ["c"]}]))
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path / "preprocessed"))
    model = tmp_path / "results" / "model"
    for fold in ("0", "3", "all"):
        (model / f"fold_{fold}").mkdir(parents=True)
        init: dict[str, Any] = {"configuration": "3d_fullres", "plans": plans()}
        torch.save(
            {"network_weights": {}, "init_args": init, "trainer_name": "nnUNetTrainer"},
            model / f"fold_{fold}" / "checkpoint_final.pth",
        )
    (model / "dataset.json").write_text(json.dumps(dataset_json()))
    (model / "plans.json").write_text(json.dumps(plans()))
    return model


def data_folder(folder: Path) -> Path:
    return folder / "preprocessed" / DATASET / "nnUNetPlans_3d_fullres"


def make(model: Path, fold: str = "0", radius: float | None = None) -> tuple[Path, Bank]:
    return make_bank(model, fold, "checkpoint_final.pth", radius)


def test_training_images_in_the_order_of_their_names(model: Path) -> None:
    path, bank = make(model)
    assert path == model / "fold_0" / "style_bank.npz"
    for style, seed, name in zip(Bank.load(path).styles, (0, 1), "ab", strict=True):
        expected = Style.of(image(seed, SIZES[name]), bank.preprocessing, bank.radius)
        np.testing.assert_array_equal(style.amplitudes, expected.amplitudes)
        np.testing.assert_array_equal(style.quantiles, expected.quantiles)
    typical = np.median([np.prod(SIZES[name]) ** (-1 / 3) for name in "ab"])
    assert bank.radius == pytest.approx(8 * typical)
    assert len(make(model, "all", 0.1)[1].styles) == 3


def test_nothing_is_overwritten(model: Path) -> None:
    path, _ = make(model)
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"exists and was not changed\.\nUse it, or delete it first"):
        make(model)
    assert path.read_bytes() == before


def test_what_is_missing(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"the folds with checkpoint_final.pth are: 0 3 all"):
        make(model, "1")
    with pytest.raises(UserError, match=r"has 1 folds, and no fold 3\.\nBring back the splits"):
        make(model, "3")
    (data_folder(tmp_path) / "a.b2nd").unlink()
    with pytest.raises(UserError, match=r"^1 of \d cases of fold 0, such as a, are not in .*\nSet nnUNet_prep"):
        make(model)
    (tmp_path / "preprocessed" / DATASET / "splits_final.json").unlink()
    with pytest.raises(
        UserError, match=r"splits_final\.json does not exist, but a style bank needs the training images"
    ):
        make(model)
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path / "nowhere"))
    with pytest.raises(
        UserError, match=r"nowhere/.* does not exist, but a style bank needs .*\nSet nnUNet_preprocessed"
    ):
        make(model)
    monkeypatch.delenv("nnUNet_preprocessed")
    with pytest.raises(UserError, match=r"^nnUNet_preprocessed is not set, but a style bank needs .*\nSet it"):
        make(model)
    assert not list(model.rglob("*style_bank*"))


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (np.full((2, 4, 5, 6), np.nan, np.float32), r"image a has NaN or infinite voxels\.\nMend the image"),
        (np.ones((1, 4, 5, 6), np.float32), r"image a has 1 channels, the model 2: channel0, channel1\.\nPreprocess"),
    ],
)
def test_images_that_cannot_be_used(model: Path, tmp_path: Path, data: np.ndarray, cause: str) -> None:
    (data_folder(tmp_path) / "a.b2nd").unlink()
    (data_folder(tmp_path) / "a_seg.b2nd").unlink()
    save_case(data_folder(tmp_path), "a", data)
    with pytest.raises(UserError, match=cause):
        make(model)
    assert not list(model.rglob("*style_bank*"))


def test_slices_for_srsim_are_of_the_images_of_the_bank(model: Path, tmp_path: Path) -> None:
    _, bank = make(model)
    configuration = PlansManager(plans()).get_configuration("3d_fullres")
    slices = training_slices(bank, DATASET, configuration, "0")
    for found, seed, name in zip(slices, (0, 1), "ab", strict=True):
        torch.testing.assert_close(found, middle_slice(image(seed, SIZES[name])))
    (tmp_path / "preprocessed" / DATASET / "splits_final.json").write_text(
        json.dumps([{"train": ["b", "c"], "val": ["a"]}])
    )
    with pytest.raises(UserError, match=r"the 2 training images of fold 0 .* are not the 2 .* made of\.\nBring these"):
        training_slices(bank, DATASET, configuration, "0")
    (tmp_path / "preprocessed" / DATASET / "splits_final.json").unlink()
    with pytest.raises(UserError, match=r"does not exist, but --donors_by srsim needs the training images"):
        training_slices(bank, DATASET, configuration, "0")
