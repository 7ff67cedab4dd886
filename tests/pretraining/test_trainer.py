"""Pre-training: nnU-Net's training step with a task, and the checkpoint that it leaves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nnunetv2_factorizer.cli.check_architecture import main as check_architecture
from nnunetv2_factorizer.conformance.pretrained import check_pretrained
from nnunetv2_factorizer.conformance.subject import CheckFailed
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.pretraining.export import ADAPTATION_FILE, ADAPTATION_KEY, PRETRAINED, write_pretrained
from nnunetv2_factorizer.pretraining.progress import PretrainingLogger
from nnunetv2_factorizer.pretraining.trainer import Pretraining
from nnunetv2_factorizer.trainers.nnUNetTrainer_PretrainComparative import nnUNetTrainer_PretrainContrastive
from nnunetv2_factorizer.trainers.nnUNetTrainer_PretrainMAE import nnUNetTrainer_PretrainMAE
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


def test_both_loaders_take_the_export(
    trainer: Pretraining, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pretrained(tmp_path, trainer._pretrained())
    monkeypatch.setattr("sys.argv", ["nnUNetv2_check_architecture", "--pretrained", str(tmp_path / PRETRAINED)])
    check_architecture()
    assert "nnU-Net 2.8 takes it" in capsys.readouterr().out


SPOILED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a weight is missing": (lambda c: c["network_weights"].pop(next(iter(c["network_weights"]))), "refuses it"),
    "no heads": (
        lambda c: [c["network_weights"].pop(n) for n in list(c["network_weights"]) if ".seg_layers." in n],
        "no decoder.seg_layers",
    ),
    "a value that is not plain": (lambda c: c["init_args"].update(device=Path("x")), "plain values only"),
    "no plan": (lambda c: c.pop(ADAPTATION_KEY), "lacks nnssl_adaptation_plan"),
    "no such encoder": (lambda c: c[ADAPTATION_KEY].update(key_to_encoder="body"), "key_to_encoder 'body'"),
    "no such position embedding": (lambda c: c[ADAPTATION_KEY].update(key_to_lpe="encoder"), "key_to_lpe 'encoder'"),
    "no patch": (lambda c: c[ADAPTATION_KEY]["pretrain_plan"].update(configurations={}), "patch_size"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_check_finds_what_a_loader_would_refuse(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_trainer(nnUNetTrainer_PretrainMAE, tmp_path, monkeypatch)
    made.initialize()
    checkpoint = made._pretrained()
    spoil, message = SPOILED[name]
    spoil(checkpoint)
    write_pretrained(tmp_path, {ADAPTATION_KEY: {}} | checkpoint)
    if ADAPTATION_KEY not in checkpoint:
        torch.save(checkpoint, tmp_path / PRETRAINED)
    with pytest.raises(CheckFailed, match=message):
        check_pretrained(tmp_path / PRETRAINED)


def test_check_wants_the_plan_beside_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_trainer(nnUNetTrainer_PretrainMAE, tmp_path, monkeypatch)
    made.initialize()
    write_pretrained(tmp_path, made._pretrained())
    (tmp_path / ADAPTATION_FILE).write_text("{}")
    with pytest.raises(CheckFailed, match=ADAPTATION_FILE):
        check_pretrained(tmp_path / PRETRAINED)


def test_refuses_the_second_stage_of_a_cascade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_trainer(nnUNetTrainer_PretrainMAE, tmp_path, monkeypatch)
    made.is_cascaded = True
    with pytest.raises(UserError, match="second stage of a cascade"):
        made.initialize()


def test_one_case_is_too_few_to_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_trainer(nnUNetTrainer_PretrainContrastive, tmp_path, monkeypatch)
    made.initialize()
    monkeypatch.setattr(made, "do_split", lambda: (["case_a"], ["case_a"]))
    with pytest.raises(UserError, match="has 1 case for training; Contrastive compares cases and needs 2"):
        made.get_tr_and_val_datasets()


def test_progress_is_drawn_of_the_task(tmp_path: Path) -> None:
    logger = PretrainingLogger("masked error", "predicting the mean")
    for name in ("train_losses", "val_losses", "mean_fg_dice", "ema_fg_dice", "lrs"):
        logger.my_fantastic_logging[name] = [0.1, 0.2]
    logger.plot_progress_png(str(tmp_path))
    assert (tmp_path / "progress.png").stat().st_size > 1000
