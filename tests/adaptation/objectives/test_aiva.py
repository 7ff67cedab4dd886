"""AIVA: clusters and their matching, the pull, batches of two scanners, and targets that cannot be taken."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nnunetv2_factorizer.adaptation.matching import match
from nnunetv2_factorizer.adaptation.methods import MMTL
from nnunetv2_factorizer.adaptation.objectives import AIVA, aiva
from nnunetv2_factorizer.adaptation.objectives.aiva import align, averaged
from nnunetv2_factorizer.adaptation.paired import pair
from nnunetv2_factorizer.adaptation.target_data import VARIABLE, find_target
from nnunetv2_factorizer.adaptation.trainer import Adapting
from nnunetv2_factorizer.errors import UserError
from tests.adaptation.models import TARGET, log_of, save, weights, write_model
from tests.adaptation.objectives.training import trainer_of
from tests.training.networks import plans_of
from tests.training.small_trainer import DATASET

TWO = type("Two", (AIVA,), {"k": 2})


def sides(shift: float = 1.0) -> tuple[Any, ...]:
    """Three clusters far apart, in other order on the target's side and a little moved; and positions."""
    rng = np.random.default_rng(0)
    centres = 30 * rng.normal(size=(3, 40))
    source = np.concatenate([centre + rng.normal(size=(8, 40)) for centre in centres])
    target = np.concatenate([centre + shift + rng.normal(size=(8, 40)) for centre in centres[[2, 0, 1]]])
    return source, target, np.full((24, 3), 0.5), np.full((24, 3), 0.5)


@pytest.mark.parametrize("embedding", ["pca", "tsne"])
def test_each_target_cluster_is_matched_with_its_own(embedding: str) -> None:
    source, target, *positions = sides()
    matched = match(source, target, *positions, k=3, components=20, embedding=embedding)
    clusters = matched.clusters_of(target, positions[1])
    assert np.array_equal(clusters, matched.clusters)
    for part, own in enumerate([2, 0, 1]):
        (cluster,) = set(clusters[8 * part : 8 * part + 8])
        np.testing.assert_allclose(matched.anchors[cluster], source[8 * own : 8 * own + 8].mean(0), rtol=1e-6)
    new = source[8:16] + 1  # patches that were not seen before
    assert set(matched.clusters_of(new, positions[0][:8])) == {clusters[-1]}


def test_the_control_matches_at_random_and_centres_are_then_farther_apart() -> None:
    best = match(*sides(), k=3, components=20)
    same = match(*sides(), k=3, components=20)
    assert all(np.array_equal(getattr(best, name), getattr(same, name)) for name in vars(best))
    distances = [float(match(*sides(), k=3, components=20, matching="random", seed=s).distance) for s in range(8)]
    assert min(distances) == pytest.approx(float(best.distance), rel=1e-3)
    assert max(distances) > 2 * best.distance
    assert best.distance < match(*sides(shift=4.0), k=3, components=20).distance


def test_positions_tell_apart_what_features_do_not() -> None:
    rng = np.random.default_rng(0)
    features = [1e-3 * rng.normal(size=(10, 5)) + np.arange(10)[:, None] % 2 * 1e-2 for _ in range(2)]
    positions = np.repeat([0.0, 9.0], 5)[:, None]
    matched = match(*features, positions, positions, k=2, components=5)
    assert len(set(matched.clusters[:5])) == len(set(matched.clusters[5:])) == 1
    assert matched.clusters[0] != matched.clusters[-1]


def test_the_pull_is_that_of_the_formula() -> None:
    features, anchors = torch.randn(5, 7, requires_grad=True), torch.randn(4, 7)
    clusters = torch.tensor([3, 1, 3, 3, 1])
    means = {3: features[[0, 2, 3]].mean(0), 1: features[[1, 4]].mean(0)}
    expected = sum((mean - anchors[i]).square().sum() for i, mean in means.items())
    torch.testing.assert_close(align(features, clusters, anchors), expected)
    assert averaged(torch.randn(2, 3, 9, 2, 4)).shape == (2, 3 * 4 * 2 * 4)
    assert averaged(torch.randn(2, 3, 5, 6)).shape == (2, 3 * 4 * 4)


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes trainers of a source model that is there, with a target that is, too."""
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    monkeypatch.setenv(VARIABLE, TARGET)
    write_model(tmp_path, monkeypatch, plans_of("PlainConvUNet"))

    def make(objective: Any = TWO) -> Any:
        trainer = trainer_of(objective, tmp_path, "PlainConvUNet", Adapting)
        trainer.num_epochs, trainer.num_iterations_per_epoch = 4, 4
        trainer.plot_network_architecture = lambda: None
        return trainer

    return make


def train(trainer: Any, epoch: int) -> None:
    trainer.current_epoch = epoch
    torch.manual_seed(epoch)
    np.random.seed(epoch)
    trainer.on_train_epoch_start()
    for _ in range(trainer.num_iterations_per_epoch):
        trainer.train_step(next(trainer.dataloader_train))
    trainer.on_train_epoch_end([{"loss": 1.0}])


def test_the_target_is_drawn_and_it_goes_on_exactly(
    begin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aiva, "FIRST", 2)
    trainer = begin()
    trainer.on_train_start()
    assert f"Target: 1 cases of {TARGET}; their labels are not read" in log_of(trainer)
    batch = next(trainer.dataloader_train)
    assert batch["data"].shape == (4, 2, 8, 16, 16)
    assert len(batch["target"][0]) == 2
    assert [str(key).startswith(f"{TARGET}/case_") for key in batch["keys"]] == [False, False, True, True]
    assert batch["positions"].shape == (4, 3)
    assert 0 <= batch["positions"].min() < batch["positions"].max() <= 1
    assert set(next(trainer.dataloader_val)["keys"]) <= {f"case_{i}" for i in range(4)}

    train(trainer, 0)
    assert not any(trainer._terms["align"])  # nothing was matched yet
    save(trainer, tmp_path / "checkpoint_latest.pth")
    train(trainer, 1)
    pulls = trainer._terms["align"]
    assert not any(pulls[:2])  # lambda is 1 over their mean
    assert all(0.05 < pull < 20 for pull in pulls[2:])
    assert log_of(trainer).count("mean distance of 2 matched centres: ") == 2

    resumed = begin()
    resumed.load_checkpoint(str(tmp_path / "checkpoint_latest.pth"))
    resumed.on_train_start()
    train(resumed, 1)
    assert resumed._terms["align"] == pulls
    torch.testing.assert_close(weights(resumed), weights(trainer), rtol=0, atol=0)


def test_workers_give_batches_of_both(begin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_n_proc_DA", "1")
    trainer = begin()
    trainer.initialize()
    training, validation = trainer.get_dataloaders()
    try:
        pair(training, *find_target(trainer))
        for _ in range(3):
            batch = next(training)
            assert len(batch["data"]) == len(batch["positions"]) == len(batch["keys"]) == 4
    finally:
        training._finish()
        validation._finish()


def test_targets_that_cannot_be_taken(begin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, base = begin(), tmp_path / "preprocessed" / TARGET

    def message() -> str:
        with pytest.raises(UserError) as caught:
            find_target(trainer)
        return str(caught.value)

    for wrong, said in (
        (None, f"needs images of a new scanner, and the variable {VARIABLE} is not set.\nSet {VARIABLE} to the ID"),
        ("nowhere", f"the variable {VARIABLE} names nowhere"),
        ("995", f"the variable {VARIABLE} names 995: Could not find a dataset with the ID 995"),
        (DATASET, "which is also the data set in training"),
        ("Dataset995_None", "Dataset995_None is not preprocessed: "),
    ):
        monkeypatch.setenv(VARIABLE, wrong) if wrong else monkeypatch.delenv(VARIABLE)
        assert said in message()
    assert "nnUNetv2_preprocess -d 995 -plans_name nnUNetFactorizerPlans_of997 -c 3d_fullres" in message()

    monkeypatch.setenv(VARIABLE, "996")
    plans_file, description = base / "nnUNetFactorizerPlans.json", base / "dataset.json"
    plans, channels = json.loads(plans_file.read_text()), json.loads(description.read_text())
    description.write_text(json.dumps(channels | {"channel_names": {"0": "T1"}}))
    assert f"{TARGET} has the channels T1, {DATASET} has channel0, channel1." in message()
    description.write_text(json.dumps(channels))
    plans["configurations"]["3d_fullres"]["spacing"] = [2.0, 1.0, 1.0]
    plans_file.write_text(json.dumps(plans))
    assert "nnUNetFactorizerPlans.json: spacing is [2.0, 1.0, 1.0], not [1.0, 1.0, 1.0]" in message()
    # Plans of another name that are the same will do.
    plans["configurations"]["3d_fullres"]["spacing"] = [1.0, 1.0, 1.0]
    (base / "nnUNetPlans_of997.json").write_text(json.dumps(plans | {"plans_name": "nnUNetPlans_of997"}))
    assert find_target(trainer)[0] == TARGET
    shutil.rmtree(base / "nnUNetPlans_3d_fullres")
    assert "is missing or empty" in message()
    monkeypatch.setattr(trainer, "is_cascaded", True)
    assert "second stage of a cascade" in message()


def test_too_few_patches_for_the_clusters(begin: Any) -> None:
    trainer = begin(AIVA)
    trainer.num_iterations_per_epoch = 5
    with pytest.raises(UserError, match="10 patches of each data set, fewer than the 12 clusters") as caught:
        trainer.on_train_start()
    assert "num_iterations_per_epoch to 6 or more" in caught.value.remedy


def test_mmtl_has_another_kind_of_target(begin: Any, tmp_path: Path) -> None:
    mixed = type("Mixed", (Adapting,), {"method": MMTL})
    with pytest.raises(UserError, match=r"a labelled target \(MMTL\) beside an unlabelled one \(AIVA\)"):
        trainer_of(TWO, tmp_path, "PlainConvUNet", mixed).initialize()
