"""Pre-training: nnU-Net's training step with a task, and the checkpoint that it leaves."""

from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.pretraining.export import ADAPTATION_FILE, ADAPTATION_KEY, PRETRAINED
from nnunetv2_factorizer.pretraining.trainer import Pretraining
from nnunetv2_factorizer.trainers.nnUNetTrainer_Pretrain import nnUNetTrainer_PretrainMAE
from tests.training.networks import NETWORKS, plans_of
from tests.training.small_trainer import PATCH, make_trainer


def batch(channels: int = 2) -> dict[str, Any]:
    """Of nnU-Net's loader, with places in place of labels."""
    inside = torch.ones(2, 1, *PATCH, dtype=torch.int16)
    return {"data": torch.randn(2, channels, *PATCH), "target": inside, "keys": ["case_a", "case_b"]}


@pytest.fixture(params=NETWORKS)
def trainer(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pretraining:
    made = make_trainer(nnUNetTrainer_PretrainMAE, tmp_path, monkeypatch, the_plans=plans_of(request.param))
    made.initialize()
    return made


def test_step_moves_the_body_and_export_holds_it(trainer: Pretraining) -> None:
    before = {name: p.clone() for name, p in trainer.network.body.named_parameters()}
    trainer.on_train_epoch_start()
    for _ in range(2):
        trainer.train_step(batch())
    after = dict(trainer.network.body.named_parameters())
    unmoved = [name for name in before if torch.equal(before[name], after[name])]
    assert all(".seg_layers." in name for name in unmoved), unmoved
    exported = trainer._pretrained()["network_weights"]
    for name, parameter in after.items():
        if ".seg_layers." not in name:
            assert torch.equal(exported[name], parameter), name


def test_both_loaders_take_the_export(trainer: Pretraining, tmp_path: Path) -> None:
    from nnunetv2_factorizer.pretraining.export import write_pretrained

    write_pretrained(tmp_path, trainer._pretrained())
    checkpoint = torch.load(tmp_path / PRETRAINED, weights_only=True)
    target = super(Pretraining, trainer).build(
        trainer.plans_manager, trainer.configuration_manager, 2, 5, True
    )  # other classes
    load_pretrained_weights(target, tmp_path / PRETRAINED)
    assert (tmp_path / ADAPTATION_FILE).exists()
    assert checkpoint[ADAPTATION_KEY]["pretrain_num_input_channels"] == 2
    body = trainer.network.body.state_dict()
    assert all(torch.equal(t, body[n]) for n, t in target.state_dict().items() if ".seg_layers." not in n)


def test_refuses_the_second_stage_of_a_cascade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_trainer(nnUNetTrainer_PretrainMAE, tmp_path, monkeypatch)
    made.is_cascaded = True
    with pytest.raises(UserError, match="second stage of a cascade"):
        made.initialize()
