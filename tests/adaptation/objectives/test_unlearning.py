"""Unlearning an attribute: whose gradient comes from which loss, what is logged, and which columns are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from nnunetv2_factorizer.adaptation.methods import MMTL, All
from nnunetv2_factorizer.adaptation.objectives import CLGR, LNTL, TABE
from nnunetv2_factorizer.adaptation.objectives.unlearning import Unlearning
from nnunetv2_factorizer.adaptation.probe import pool_stages
from nnunetv2_factorizer.adaptation.trainer import Adapting
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.training.bare import bare
from tests.adaptation.models import log_of, save
from tests.adaptation.objectives.training import begun, trainer_of, write_data
from tests.training.small_trainer import DATASET, make_batch

KEYS = ["case_0", "case_3"]


def entropy_lost(q: torch.Tensor) -> torch.Tensor:
    return (q * q.log()).sum(1).mean()


def confusion(q: torch.Tensor) -> torch.Tensor:
    return -(q.log() / q.shape[1]).sum(1).mean()


@pytest.mark.parametrize("network", ["PlainConvUNet", "Hybrid"])
@pytest.mark.parametrize(
    ("method", "flatness", "weight", "reversal"),
    [(LNTL, entropy_lost, 0.01, 0.1), (TABE, confusion, 0.03, 0.0), (CLGR, confusion, 0.03, 0.1)],
)
def test_head_and_encoder_have_the_gradients_of_their_losses(
    method: type[Unlearning],
    flatness: Any,
    weight: float,
    reversal: float,
    network: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    two = type("Two", (method,), {"stages": (0, -1)})
    trainer = begun(two, tmp_path, monkeypatch, network, sites="AAAB")
    batch, net, head = make_batch() | {"keys": KEYS}, bare(trainer.network), trainer.asked.head
    features = net.encoder(batch["data"])
    logits = head(
        torch.cat([p for f in (features[0], features[-1]) for p in (f.mean((2, 3, 4)), f.amax((2, 3, 4)))], 1)
    )
    weights = torch.tensor([4 / (2 * 3), 4 / (2 * 1)])  # cases over values times cases of the value
    of_head = (weights * functional.cross_entropy(logits, torch.tensor([0, 1]), reduction="none")).mean()
    flat = weight * flatness(logits.softmax(1))
    segmentation = trainer.loss.segmentation(trainer.network(batch["data"]), batch["target"])
    named = dict(net.encoder.named_parameters())
    of_network = segmentation + flat - reversal * of_head
    expected = torch.autograd.grad(of_network, list(named.values()), allow_unused=True, retain_graph=True)
    expected_head = torch.autograd.grad(of_head, list(head.parameters()))
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: None)
    trainer.train_step(batch)
    for p, gradient in zip(head.parameters(), expected_head, strict=True):
        torch.testing.assert_close(p.grad, gradient, rtol=1e-3, atol=1e-5)
    for p, gradient in zip(named.values(), expected, strict=True):
        if gradient is not None:
            torch.testing.assert_close(p.grad, gradient, rtol=1e-3, atol=1e-5)
    assert trainer._terms["head"][0] == pytest.approx(of_head.item(), rel=1e-4)
    assert trainer._terms["flatness"][0] == pytest.approx(flat.item(), rel=1e-4)


def test_after_instance_norm_the_pooled_features_still_tell_images_apart() -> None:
    features = functional.instance_norm(torch.rand(2, 3, 4, 5, 6) ** torch.tensor([1.0, 9.0]).view(2, 1, 1, 1, 1))
    mean, largest = pool_stages([torch.zeros(2, 7, 8, 9), features], [1]).chunk(2, 1)
    assert mean.abs().max() < 1e-5
    assert (largest[1] > largest[0] + 0.5).all()


def test_how_well_the_head_does_is_a_mean_over_the_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = begun(TABE, tmp_path, monkeypatch, sites="AAAB")
    with torch.no_grad():
        trainer.asked.head.weight.zero_()
        trainer.asked.head.bias.copy_(torch.tensor([9.0, -9.0]))  # always A
    trainer.heads_lr = 0
    trainer.train_step(make_batch() | {"keys": ["case_0", "case_1"]})
    trainer.train_step(make_batch() | {"keys": ["case_2", "case_3"]})
    trainer.on_train_epoch_end([{"loss": 1.0}])
    assert "the head tells site in 50.0% of the samples, as a mean over its values; chance is 50.0%" in log_of(trainer)


def test_columns_that_cannot_be_unlearned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = write_data(tmp_path, monkeypatch, "PlainConvUNet")

    def message(objective: type[Unlearning] = TABE) -> str:
        with pytest.raises(UserError) as caught:
            trainer_of(objective, tmp_path, "PlainConvUNet").initialize()
        return str(caught.value)

    assert "case_metadata.json does not exist" in message()
    write_data(tmp_path, monkeypatch, "PlainConvUNet", sites="AAAA")
    assert "all 4 training cases of Dataset997_Small have the value 'A' in the column 'site'" in message()
    assert "nnUNetv2_factorizer_attributes estimates one" in message()
    write_data(tmp_path, monkeypatch, "PlainConvUNet", sites="AAB")
    assert "lacks 1 of 4 cases, such as case_3.\nAdd them" in message()
    write_data(tmp_path, monkeypatch, "PlainConvUNet", sites="AABB")
    age, tone = (type("Other", (TABE,), {"column": column}) for column in ("age", "tone"))
    assert "each of the 4 training cases of Dataset997_Small has a value of its own in the column 'age'" in message(age)
    assert "groups of age in place of the age" in message(age)
    assert "the column 'tone'; columns there: age, site" in message(tone)
    # Only cases in training count.
    (base / "splits_final.json").write_text(json.dumps([{"train": ["case_0", "case_1"], "val": ["case_2"]}]))
    trainer = trainer_of(TABE, tmp_path, "PlainConvUNet")
    trainer.fold = 0
    with pytest.raises(UserError, match="all 2 training cases"):
        trainer.initialize()


def test_it_composes_with_adapting_but_for_cases_of_another_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_data(tmp_path, monkeypatch, "PlainConvUNet", sites="AABB")
    for method in (All, MMTL):
        trainer = trainer_of(TABE, tmp_path, "PlainConvUNet", type("Other", (Adapting,), {"method": method}))
        if method is MMTL:
            with pytest.raises(UserError, match=f"only read for those of {DATASET}") as caught:
                trainer.initialize()
            assert "without MMTL" in caught.value.remedy
        else:
            trainer.initialize()
            assert len(trainer.asked.kinds) == 2


def test_a_training_goes_on_with_the_same_values_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = begun(TABE, tmp_path, monkeypatch, sites="AABB")
    trainer.train_step(make_batch() | {"keys": KEYS})
    save(trainer, tmp_path / "checkpoint_latest.pth")
    begun(TABE, tmp_path, monkeypatch, sites="ABBB").load_checkpoint(str(tmp_path / "checkpoint_latest.pth"))
    with pytest.raises(UserError, match=r"has the values 'A', 'C'; when this training began it had 'A', 'B'"):
        begun(TABE, tmp_path, monkeypatch, sites="AACC").load_checkpoint(str(tmp_path / "checkpoint_latest.pth"))
