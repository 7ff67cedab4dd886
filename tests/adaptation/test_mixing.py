"""MMTL: the share of each scanner in a batch, from where the source is read, and data that cannot be mixed."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nnunetv2_factorizer.adaptation.methods import MMTL
from nnunetv2_factorizer.adaptation.methods.mmtl import SCHEDULES
from nnunetv2_factorizer.adaptation.mixture import Mixture
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.training import SGDRecipe
from tests.adaptation.models import TARGET, adapting, log_of, save, write_model
from tests.pretraining.labelled import InMemory
from tests.training.networks import NETWORKS, plans_of
from tests.training.small_trainer import DATASET, dataset_json

CASE = (np.zeros((1, 4, 4, 4)), np.ones((1, 4, 4, 4)))


def mixture(batch_size: int, share: float) -> Mixture:
    """Two target cases and three of the source, one of them with the name of a target case."""
    target, source = InMemory({"a": CASE, "b": CASE}), InMemory({name: CASE for name in "acd"})
    return Mixture(target, "Dataset001_Source", source, batch_size, share)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_mean_number_of_target_samples_is_that_of_the_share(batch_size: int, share: float) -> None:
    np.random.seed(0)
    mixed, draws = mixture(batch_size, share), 4000 // batch_size
    cases = np.stack([mixed.draw() for _ in range(draws)])
    is_target = np.vectorize(mixed.is_target)(cases)
    assert is_target.mean() == pytest.approx(share, abs=0.03)
    # Each place in a batch has that share, since nnU-Net takes foreground in the last ones; and binomial is the number.
    assert is_target.mean(0) == pytest.approx(np.full(batch_size, share), abs=0.06)
    assert is_target.sum(1).var() == pytest.approx(batch_size * share * (1 - share), abs=0.15)
    for number, names in ((share, ("a", "b")), (1 - share, [f"Dataset001_Source/{name}" for name in "acd"])):
        counts = Counter(cases.ravel())
        assert [counts[name] / cases.size for name in names] == pytest.approx(
            [number / len(names)] * len(names), abs=0.03
        )


def test_each_case_is_read_from_its_own_data_set() -> None:
    mixed = mixture(2, 0.5)
    mixed.target.cases["a"] = (np.full((1, 2, 2, 2), 7.0), CASE[1])
    assert mixed.load_case("a")[0].max() == 7
    assert mixed.load_case("Dataset001_Source/a")[0].max() == 0
    assert len(mixed.identifiers) == 5


def test_schedules() -> None:
    """With the release's batch of 16 and 60 epochs, the release's numbers: min(floor(e / 4) + 1, 16)."""
    released = [min(epoch // 4 + 1, 16) for epoch in range(60)]
    assert [16 * SCHEDULES["linear_plus_one"](epoch, 60) for epoch in range(60)] == released
    assert [SCHEDULES["linear"](epoch, 4) for epoch in range(4)] == [0, 0.25, 0.5, 0.75]
    for epochs in (1, 2, 5, 50):
        shares = [SCHEDULES["linear_plus_one"](epoch, epochs) for epoch in range(epochs)]
        assert shares == sorted(shares)
        assert 0 < shares[0] <= shares[-1] < 1


def loading(trainer: Any) -> Any:
    """The same trainer, ready for an epoch with nnU-Net's own loader."""
    if not trainer.was_initialized:
        trainer.initialize()
    trainer.on_weights_ready()
    trainer.dataloader_train, trainer.dataloader_val = trainer.get_dataloaders()
    return trainer


def epoch_of(trainer: Any, epoch: int, training: bool = True) -> list[str]:
    """Trains an epoch, or only loads it; gives the cases that were seen."""
    trainer.current_epoch = epoch
    trainer.on_train_epoch_start()
    cases: list[str] = []
    for _ in range(trainer.num_iterations_per_epoch):
        batch = next(trainer.dataloader_train)
        cases += map(str, batch["keys"])
        if training:
            trainer.train_step(batch)
    if training:
        trainer.on_train_epoch_end([{"loss": 1.0}])
    return cases


@pytest.mark.parametrize("network", NETWORKS)
def test_both_scanners_train_and_validation_is_that_of_the_new_one(
    network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    write_model(tmp_path, monkeypatch, plans_of(network), SGDRecipe)
    trainer = adapting(MMTL, tmp_path, plans_of(network), SGDRecipe)
    trainer.num_epochs, trainer.num_iterations_per_epoch = 4, 6
    loading(trainer)
    seen = epoch_of(trainer, 2)  # share 1/2
    assert {case.split("/")[0] for case in seen} == {"case_0", DATASET}
    assert all(next(trainer.dataloader_val)["keys"] == "case_0")
    number = seen.count("case_0")
    assert f"share of target samples: {number / 12:.3f} ({number} of 12; schedule 0.500)" in log_of(trainer)
    assert f"1 training cases of this data set and 4 of {DATASET}" in log_of(trainer)


def test_workers_learn_of_a_new_share_and_of_that_of_a_training_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("nnUNet_n_proc_DA", "1")
    write_model(tmp_path, monkeypatch, plans_of("Conv"))
    monkeypatch.setitem(SCHEDULES, "step", lambda epoch, epochs: float(epoch > 0))
    stepped = type("Stepped", (MMTL,), {"schedule": "step"})
    trainer = adapting(stepped, tmp_path, plans_of("Conv"))
    trainer.num_iterations_per_epoch = 20
    try:
        loading(trainer)
        assert set(epoch_of(trainer, 0, training=False)) <= {f"{DATASET}/case_{i}" for i in range(4)}
        save(trainer, tmp_path / "checkpoint_latest.pth")
        assert set(epoch_of(trainer, 1, training=False)[-4:]) == {"case_0"}  # after what waited in the queue
    finally:
        trainer.dataloader_train._finish()
        trainer.dataloader_val._finish()
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    resumed = adapting(stepped, tmp_path, plans_of("Conv"))
    resumed.load_checkpoint(str(tmp_path / "checkpoint_latest.pth"))
    resumed.current_epoch = 1
    loading(resumed)
    assert set(next(resumed.dataloader_train)["keys"]) == {"case_0"}


def test_of_a_fold_the_training_cases_alone_are_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_model(tmp_path, monkeypatch, plans_of("Conv"))
    of_fold(file, 1)
    splits = tmp_path / "preprocessed" / DATASET / "splits_final.json"
    with pytest.raises(UserError, match=r"is of fold 1, and .*splits_final\.json is missing"):
        loading(adapting(MMTL, tmp_path, plans_of("Conv")))
    training = ["case_1", "case_3"]
    splits.write_text(json.dumps([{"train": ["case_0"], "val": []}]))
    with pytest.raises(UserError, match="has 1 folds only"):
        loading(adapting(MMTL, tmp_path, plans_of("Conv")))
    splits.write_text(json.dumps([{}, {"train": [*training, "case_9"], "val": []}]))
    with pytest.raises(UserError, match=r"1 of 3 training cases of .* are not preprocessed, such as case_9"):
        loading(adapting(MMTL, tmp_path, plans_of("Conv")))
    splits.write_text(json.dumps([{}, {"train": training, "val": ["case_0"]}]))
    trainer = loading(adapting(MMTL, tmp_path, plans_of("Conv")))
    assert trainer.adaptation._mixture.source.identifiers == training


def of_fold(file: Path, fold: int) -> None:
    state = torch.load(file, weights_only=False)
    state["init_args"]["fold"] = fold
    torch.save(state, file)


def described(folder: Path, name: str, **changes: Any) -> dict[str, Any]:
    """Another description of a data set, which is written, too."""
    description = dataset_json() | changes
    (folder / "preprocessed" / name / "dataset.json").write_text(json.dumps(description))
    return description


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"labels": {"background": 0, "tumour": 1}}, r'cannot be mixed .*"lesion": 1.* there, .*"tumour": 1.* here'),
        ({"channel_names": {"0": "T1", "1": "T2"}}, r'cannot be mixed .*"channel0".* there, .*"T1".* here'),
    ],
)
def test_other_labels_or_channels_cannot_be_mixed(
    changes: dict[str, Any], match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path, monkeypatch, plans_of("Conv"))
    description = described(tmp_path, TARGET, **changes)
    with pytest.raises(UserError, match=match) as caught:
        loading(adapting(MMTL, tmp_path, plans_of("Conv"), description=description))
    assert "labels and channels of the source" in caught.value.remedy


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("spacing", [1.0, 1.0, 2.0]),
        ("normalization_schemes", ["RescaleTo01Normalization"] * 2),
        ("transpose_forward", [1, 0, 2]),
        ("intensities of CT", {"0": {"mean": 3.0}}),
    ],
)
def test_other_preprocessing_cannot_be_mixed(
    key: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    the_plans, changed = plans_of("Conv"), plans_of("Conv")
    if key == "transpose_forward":
        changed[key] = value
    elif key == "intensities of CT":
        for both in (the_plans, changed):
            both["configurations"]["3d_fullres"]["normalization_schemes"] = ["CTNormalization"] * 2
        changed["foreground_intensity_properties_per_channel"] = value
    else:
        changed["configurations"]["3d_fullres"][key] = value
    write_model(tmp_path, monkeypatch, the_plans)
    with pytest.raises(UserError, match=f"cannot be mixed in a batch: {key} is ") as caught:
        loading(adapting(MMTL, tmp_path, changed))
    assert f"nnUNetv2_move_plans_between_datasets -s {DATASET} -t {TARGET}" in caught.value.remedy


def test_data_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A renamed folder of data, another configuration, no data set at all, and the source itself as the target."""
    write_model(tmp_path, monkeypatch, plans_of("Conv"))
    base = tmp_path / "preprocessed" / DATASET
    file = base / "nnUNetFactorizerPlans.json"
    there = json.loads(file.read_text())
    configuration = there["configurations"]["3d_fullres"]
    other = {**there, "configurations": {"3d_fullres": {**configuration, "data_identifier": "elsewhere"}}}
    for plans, match in (
        (other, r"whose data are not there: .*elsewhere is missing or empty"),
        ({**there, "configurations": {"3d_lowres": configuration}}, "has no configuration 3d_fullres"),
    ):
        file.write_text(json.dumps(plans))
        with pytest.raises(UserError, match=match) as caught:
            loading(adapting(MMTL, tmp_path, plans_of("Conv")))
        assert "nnUNetv2_preprocess -d 997 -plans_name nnUNetFactorizerPlans -c 3d_fullres" in caught.value.remedy
        assert "AdaptL2SP" in caught.value.remedy
    shutil.move(base, tmp_path / "elsewhere")
    with pytest.raises(UserError, match=f"trained on {DATASET}, whose data are not there"):
        loading(adapting(MMTL, tmp_path, plans_of("Conv")))
    shutil.move(tmp_path / "elsewhere", base)
    file.write_text(json.dumps(there))
    trainer = adapting(MMTL, tmp_path, plans_of("Conv"))
    trainer.plans_manager.plans["dataset_name"] = DATASET
    with pytest.raises(UserError, match="is also the data set in training: there is nothing to mix"):
        loading(trainer)


def test_the_second_stage_of_a_cascade_is_not_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path, monkeypatch, plans_of("Conv"))
    trainer = adapting(MMTL, tmp_path, plans_of("Conv"))
    trainer.is_cascaded = True
    with pytest.raises(UserError, match="is the second stage of a cascade"):
        loading(trainer)
