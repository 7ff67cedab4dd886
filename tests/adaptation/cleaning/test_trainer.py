"""Trainers that clean labels: what they count, when they correct, what they refuse, and how they go on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nnunetv2_factorizer.adaptation.cleaning import trainer as module
from nnunetv2_factorizer.adaptation.cleaning.trainer import Cleaning
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.training import MuonRecipe
from tests.adaptation.models import log_of, make, save
from tests.pretraining.labelled import SIZE, write_dataset
from tests.training.networks import plans_of
from tests.training.small_trainer import DATASET, ENDING, dataset_json, make_batch
from tests.training.test_trainers import find

BOX = (0, slice(0, 3), slice(0, 3), slice(0, 3))
"""Where the predictions of these tests have an object that is not labelled."""
MAYBE = (0, slice(-3, None), slice(-3, None), slice(-3, None))


def begun(folder: Path, monkeypatch: pytest.MonkeyPatch, description: Any = None, **attributes: Any) -> Any:
    """A trainer on three cases, initialised, in its first epoch and with its data sets."""
    for kind in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{kind}", str(folder / kind))
    base = folder / "preprocessed" / DATASET
    if not base.exists():
        write_dataset(folder / "preprocessed", DATASET, channels=2, cases=3, the_plans=plans_of("PlainConvUNet"))
        (base / "gt_segmentations").mkdir()
        for case in range(3):
            (base / "gt_segmentations" / f"case_{case}{ENDING}").touch()
    if description is not None:
        (base / "dataset.json").write_text(json.dumps(description))
    cls = type("nnUNetTrainerTest_CleanLabels", (Cleaning, MuonRecipe), attributes)
    trainer = make(cls, folder, DATASET, plans_of("PlainConvUNet"), description or dataset_json())
    trainer.initialize()
    trainer.data = trainer.get_tr_and_val_datasets()
    trainer.inference_allowed_mirroring_axes = (0, 1, 2)
    trainer.on_train_epoch_start()
    return trainer


def plant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every prediction is sure of an object in the box and of nothing elsewhere, but for a doubtful one."""

    def views(_predictor: Any, image: torch.Tensor, axes: Any) -> Any:
        assert image.shape[1:] == SIZE
        assert axes == (0, 1, 2)
        fused = torch.zeros(1, *SIZE)
        fused[BOX], fused[MAYBE] = 0.99, 0.4
        yield torch.cat([1 - fused, fused])

    monkeypatch.setattr(module, "mirrored_views", views)


def test_training_dice_is_counted_for_each_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = begun(tmp_path, monkeypatch)
    target = [torch.zeros(2, 1, 8, 16, 16), torch.zeros(2, 1, 8, 8, 8)]
    target[0][:, :, :4] = 1
    outputs = [torch.zeros(2, 2, *t.shape[2:]) for t in target]
    outputs[0][:, 1, 2:] = 1
    trainer.network.train()
    trainer.loss(outputs, target)
    trainer.network.eval()
    trainer.loss([-output for output in outputs], target)  # a validation does not count
    trainer.on_train_epoch_end([{"loss": 1.0}])
    assert trainer._curves == {1: [pytest.approx(2 * 2 / (4 + 6))]}
    trainer.on_train_epoch_start()
    trainer.train_step(make_batch())
    assert trainer._confusion.sum() == 2 * 8 * 16 * 16
    trainer.on_train_epoch_start()  # an epoch without the class says nothing of it
    trainer.on_train_epoch_end([{"loss": 1.0}])
    assert len(trainer._curves[1]) == 1


def test_hidden_voxels_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = begun(tmp_path, monkeypatch, hiding="ignore")
    assert trainer.label_manager.ignore_label is None  # the loss alone knows of it
    trainer.network.train()
    outputs = [torch.randn(2, 2, 8, *size) for size in ((16, 16), (8, 8))]
    target = [torch.randint(2, (2, 1, 8, *size)).float() for size in ((16, 16), (8, 8))]
    for t in target:
        t[:, :, :3] = 2
    other = [output.clone() for output in outputs]
    for output in other:
        output[:, :, :3] += 5 * torch.randn_like(output[:, :, :3])
    assert trainer.loss(outputs, target) == trainer.loss(other, target)
    assert trainer._confusion[2].sum() == 2 * 2 * 3 * 16 * 16
    trainer.on_train_epoch_end([{"loss": 1.0}])
    table = trainer._confusion[:2]
    assert trainer._curves[1] == [pytest.approx(float(2 * table[1, 1] / (table[1].sum() + table[:, 1].sum())))]


@pytest.mark.parametrize("hiding", [None, "ignore", "blur"])
def test_a_class_that_started_is_corrected_every_few_epochs(
    hiding: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = begun(tmp_path, monkeypatch, hiding=hiding, every=2, starts=lambda self, values: len(values) == 2)
    plant(monkeypatch)
    corrected_in = []
    monkeypatch.setattr(
        trainer,
        "_correct_cases",
        lambda: (corrected_in.append(trainer.current_epoch), type(trainer)._correct_cases(trainer)),
    )
    trainer.num_epochs, trainer.save_every = 7, 100
    monkeypatch.setattr(
        module.Guard, "on_epoch_end", lambda self: setattr(self, "current_epoch", self.current_epoch + 1)
    )
    training, validation = trainer.data
    given = [np.asarray(validation.load_case("case_0")[i][:]) for i in (0, 1)]
    for _ in range(7):
        trainer.on_train_epoch_start()
        trainer.train_step(make_batch())
        trainer.on_train_epoch_end([{"loss": 1.0}])
        trainer.on_epoch_end()
    assert corrected_in == [1, 3, 5, 6]
    image, labels, _, properties = training.load_case("case_0")
    image, labels = np.asarray(image), np.asarray(labels)
    assert (labels[BOX] == 1).all()
    assert (labels[MAYBE] == (2 if hiding == "ignore" else 0)).all()
    assert (labels == 1).sum() == 27  # what was labelled and is surely not there is gone
    assert sorted(properties["class_locations"]) == [1]
    assert len(properties["class_locations"][1]) == 27
    assert np.array_equal(image, given[0]) is (hiding != "blur")
    np.testing.assert_array_equal(image[:, 0, 0, 0], given[0][:, 0, 0, 0])
    for index in (0, 1):  # the given ones are as they were, and the validation's
        np.testing.assert_array_equal(validation.load_case("case_0")[index][:], given[index])
    assert "Labels corrected: 3 of 3 cases differ from the given ones; 81 voxels of background" in log_of(trainer)
    assert trainer.network.decoder.deep_supervision


def test_a_training_goes_on_with_what_it_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = begun(tmp_path, monkeypatch, hiding="blur", starts=lambda self, values: True)
    plant(monkeypatch)
    trainer.train_step(make_batch())
    trainer.on_train_epoch_end([{"loss": 1.0}])
    trainer._correct_cases()
    file = tmp_path / "checkpoint_latest.pth"
    save(trainer, file)
    other = begun(tmp_path, monkeypatch, hiding="blur", starts=lambda self, values: True)
    with pytest.raises(UserError, match=r"(?s)cleaning has corrected labels of an earlier training.*Go on .* by --c"):
        other.on_train_start()
    other.load_checkpoint(str(file))
    assert (other._curves, other._started, other._diameter) == (trainer._curves, {1: 0}, trainer._diameter)
    assert other._diameter > 5
    assert (np.asarray(other.data[0].load_case("case_1")[1])[BOX] == 1).all()


def test_clean_cases_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = tmp_path / "preprocessed" / DATASET / "case_metadata.json"
    begun(tmp_path, monkeypatch)
    for values, expected in (
        (("clean", "noisy", "clean"), ["case_1"]),
        (("clean", "clean", "clean"), "has a single value, 'clean'"),
        (("clean", "noisy", "no"), "has 'no' in the column 'labels'"),
    ):
        metadata.write_text(json.dumps({f"case_{i}": {"labels": value} for i, value in enumerate(values)}))
        if isinstance(expected, str):
            with pytest.raises(UserError, match=expected):
                begun(tmp_path, monkeypatch, column="labels")
        else:
            assert begun(tmp_path, monkeypatch, column="labels")._to_correct == expected


def test_labels_that_cannot_be_cleaned_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ignore = dataset_json() | {"labels": {"background": 0, "lesion": 1, "ignore": 2}}
    with pytest.raises(UserError, match=r"(?s)has an ignore label, 2, already.*nnUNetTrainerMuon"):
        begun(tmp_path, monkeypatch, ignore)
    regions = {"labels": {"background": 0, "whole": [1, 2], "core": [2]}, "regions_class_order": [1, 2]}
    with pytest.raises(UserError, match=r"(?s)are regions .*a plain label for each class"):
        begun(tmp_path, monkeypatch, dataset_json() | regions)
    for attribute, message in (("is_ddp", "several GPUs"), ("is_cascaded", "second stage of a cascade")):
        trainer = begun(tmp_path, monkeypatch, dataset_json())
        trainer.was_initialized = False
        setattr(trainer, attribute, True)
        with pytest.raises(UserError, match=message):
            trainer.initialize()
    (tmp_path / "preprocessed" / DATASET / "gt_segmentations" / f"case_1{ENDING}").unlink()
    with pytest.raises(UserError, match=r"(?s)1 cases, such as case_1, have no label file.*nnUNetv2_preprocess"):
        begun(tmp_path, monkeypatch)


def test_trainers_are_found_by_name() -> None:
    for name, hiding in (("", None), ("Ignore", "ignore"), ("Blur", "blur")):
        trainer = find(f"nnUNetTrainer_CleanLabels{name}")
        assert (trainer.hiding, trainer.num_epochs) == (hiding, 250)
        assert find(f"nnUNetTrainer_CleanLabels{name}_50epochs").num_epochs == 50
