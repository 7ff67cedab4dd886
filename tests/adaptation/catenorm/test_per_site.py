"""One norm a site: each image gets that of its site, each site a checkpoint of the plain network."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import nn

from nnunetv2_factorizer.adaptation.catenorm.norms import NORMS
from nnunetv2_factorizer.adaptation.catenorm.per_site import MARK, SiteNorm, give_sites, weights_of_site
from nnunetv2_factorizer.adaptation.catenorm.site_trainer import NormPerSite
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.network.block import FactorizerBlock
from nnunetv2_factorizer.training import MuonRecipe
from nnunetv2_factorizer.training.bare import bare
from tests.adaptation.models import make, save
from tests.pretraining.labelled import write_dataset
from tests.training.networks import NETWORKS, network, plans_of
from tests.training.small_trainer import DATASET, dataset_json, make_batch
from tests.training.test_trainers import find

SITES = {"case_0": "B", "case_1": "A", "case_2": "B"}


def begun(folder: Path, monkeypatch: pytest.MonkeyPatch, sites: Any = SITES, fold: Any = None) -> Any:
    for kind in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{kind}", str(folder / kind))
    base = folder / "preprocessed" / DATASET
    if not base.exists():
        write_dataset(folder / "preprocessed", DATASET, channels=2, cases=3, the_plans=plans_of("PlainConvUNet"))
    (base / "case_metadata.json").write_text(json.dumps({case: {"site": site} for case, site in sites.items()}))
    cls = type("nnUNetTrainerTest_NormPerSite", (NormPerSite, MuonRecipe), {})
    trainer = make(cls, folder, DATASET, plans_of("PlainConvUNet"), dataset_json())
    if fold is not None:
        (base / "splits_final.json").write_text(json.dumps([fold]))
        trainer.fold = 0
    trainer.initialize()
    trainer.on_train_epoch_start()
    return trainer


def batch_of_sites() -> dict[str, Any]:
    return make_batch() | {"keys": ["case_1", "case_0"]}


@pytest.mark.parametrize("num_axes", [2, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_each_image_gets_the_norms_of_its_site(name: str, num_axes: int) -> None:
    plain = network(name, num_axes)
    several = deepcopy(plain)
    sites = give_sites(several, 2)
    for module in several.modules():
        if isinstance(module, NORMS):
            nn.init.normal_(module.weight, 1, 0.3)
    for module in plain.modules():
        if isinstance(module, FactorizerBlock):
            module.recompute = False
    x = torch.randn(3, 2, *[16] * num_axes)
    sites.of_images = [1, 0, 1]
    with torch.no_grad():
        mixed = several(x)[0]
        for number in (0, 1):
            plain.load_state_dict(weights_of_site(several.state_dict(), number))
            chosen = [i for i, site in enumerate(sites.of_images) if site == number]
            torch.testing.assert_close(mixed[chosen], plain(x[chosen])[0], atol=1e-4, rtol=1e-4)
            sites_before, sites.of_images = sites.of_images, [number]
            torch.testing.assert_close(several(x)[0], plain(x)[0])
            sites.of_images = sites_before


def test_a_batch_moves_the_norms_of_its_sites_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = begun(tmp_path, monkeypatch)
    start = {name: p.detach().clone() for name, p in trainer.network.named_parameters()}
    trainer.train_step(make_batch() | {"keys": ["case_0", "case_2"]})
    moved = {name for name, p in trainer.network.named_parameters() if not torch.equal(p, start[name])}
    of_site = {name for name in start if MARK in name}
    assert moved & of_site == {name for name in of_site if f"{MARK}1." in name}  # B comes after A
    trainer.train_step(batch_of_sites())
    moved = {name for name, p in trainer.network.named_parameters() if not torch.equal(p, start[name])}
    assert of_site <= moved


def test_each_site_has_a_checkpoint_of_the_plain_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = begun(tmp_path, monkeypatch)
    trainer.train_step(batch_of_sites())
    trainer.logger.log("ema_fg_dice", 0.0, 0)
    trainer.current_epoch = 1
    trainer.on_train_end()
    plans = PlansManager({**plans_of("PlainConvUNet"), "dataset_name": DATASET})

    def stock() -> Any:
        build = type(trainer).build_network_architecture
        return build(plans, plans.get_configuration("3d_fullres"), 2, 2, False).eval()

    folder, x = Path(trainer.output_folder), make_batch()["data"]
    trainer.network.eval()
    trainer.set_deep_supervision_enabled(False)
    predictions = []
    for number, site in enumerate("AB"):
        checkpoint = torch.load(folder / f"checkpoint_site_{site}.pth", weights_only=True)
        assert checkpoint["trainer_name"] == type(trainer).__name__
        assert "optimizer_state" not in checkpoint
        predicts = stock()
        assert not any(isinstance(module, SiteNorm) for module in predicts.modules())
        predicts.load_state_dict(checkpoint["network_weights"])
        trainer._sites.of_images = [number]
        predictions.append(predicts(x))
        torch.testing.assert_close(predictions[-1], trainer.network(x))
    assert not torch.allclose(*predictions)
    final = torch.load(folder / "checkpoint_final.pth", weights_only=True)
    with pytest.raises(UserError, match=r"(?s)norm for each site.*-chk checkpoint_site_A\.pth"):
        stock().load_state_dict(final["network_weights"])


def test_a_validation_predicts_each_case_with_its_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = begun(tmp_path, monkeypatch)
    told = []

    def validation(self: Any, _save: bool = False) -> None:
        for case in ("case_0", "case_1"):
            self.dataset_class(self.preprocessed_dataset_folder, [case]).load_case(case)
            told.append(self._sites.of_images)

    monkeypatch.setattr(MuonRecipe, "perform_actual_validation", validation, raising=False)
    before = trainer.dataset_class
    trainer.perform_actual_validation()
    assert told == [[1], [0]]
    assert trainer.dataset_class is before
    trainer.network.eval()
    with torch.no_grad():
        trainer.validation_step(batch_of_sites())
    assert trainer._sites.of_images == [0, 1]


def test_a_training_goes_on_with_the_same_sites_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = begun(tmp_path, monkeypatch)
    trainer.train_step(batch_of_sites())
    file = tmp_path / "checkpoint_latest.pth"
    save(trainer, file)
    other = begun(tmp_path, monkeypatch)
    other.load_checkpoint(str(file))
    weights = bare(trainer.network).state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in bare(other.network).state_dict().items())
    other = begun(tmp_path, monkeypatch, {case: f"{site}2" for case, site in SITES.items()})
    with pytest.raises(UserError, match=r"has norms of A, B, case_metadata\.json has A2, B2 now"):
        other.load_checkpoint(str(file))


def test_columns_that_do_not_say_it_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for sites, message in (
        (dict.fromkeys(SITES, "A"), "has a single value, 'A', in the column 'site'"),
        ({"case_0": "A", "case_1": "B"}, "lacks 1 of 3 cases, such as case_2"),
        (SITES | {"case_2": "C/3 T"}, r"(?s)has 'C/3 T' in the column 'site'.*letters, digits"),
    ):
        with pytest.raises(UserError, match=message):
            begun(tmp_path, monkeypatch, sites)
    fold = {"train": ["case_0", "case_1"], "val": ["case_2"]}
    with pytest.raises(UserError, match=r"(?s)'C', the site of the validation case case_2, has no case among the 2"):
        begun(tmp_path, monkeypatch, SITES | {"case_2": "C"}, fold)
    trainer = begun(tmp_path, monkeypatch, SITES, fold)
    trainer.was_initialized, trainer.is_ddp = False, True
    with pytest.raises(UserError, match="several GPUs"):
        trainer.initialize()
    assert find("nnUNetTrainer_NormPerSite").column == "site"
