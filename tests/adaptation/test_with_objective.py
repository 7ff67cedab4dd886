"""The seam of an objective: its terms are added in training alone, its heads learn, and a training goes on exactly."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nnunetv2_factorizer.adaptation.objective import Batch, Objective
from nnunetv2_factorizer.adaptation.with_objective import HEADS_KEY, WithObjective
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.network import Factorizer
from nnunetv2_factorizer.training import MuonRecipe
from nnunetv2_factorizer.training.bare import bare
from tests.adaptation.models import log_of, make, save, weights
from tests.pretraining.labelled import write_dataset
from tests.training.networks import plans_of
from tests.training.small_trainer import DATASET, dataset_json, make_batch


class Energy(Objective):
    """The mean square of what a linear head makes of the deepest features, whose batch has one unlabelled image."""

    def __init__(self, trainer: WithObjective) -> None:
        super().__init__(trainer)
        self.head = nn.LazyLinear(1)
        self.head(torch.ones(1, bare(trainer.network).encoder.output_channels[-1]))

    def pose(self, batch: Batch) -> Batch:
        return batch | {"data": torch.cat([batch["data"], torch.ones_like(batch["data"][:1])])}

    def supervised(self, outputs: Tensor) -> Tensor:
        return outputs[:-1]

    def terms(self, features: Sequence[Tensor], outputs: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        assert len(features[-1]) == len(outputs[0]) == len(batch["data"])
        assert len(batch["data"]) == 1 + len(batch["target"][0])
        return {"energy": self.head(features[-1].flatten(2).mean(2)).square().mean()}


@pytest.fixture(params=["PlainConvUNet", "Hybrid"])
def trainer(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    return begun(request.param, tmp_path, monkeypatch)


def begun(network: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for kind in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{kind}", str(folder / kind))
    if not (folder / "preprocessed").exists():
        write_dataset(folder / "preprocessed", DATASET, channels=2, cases=2, the_plans=plans_of(network))
    torch.manual_seed(1)
    cls = type("nnUNetTrainerTest_Energy", (WithObjective, MuonRecipe), {"objective": Energy})
    trainer = make(cls, folder, DATASET, plans_of(network), dataset_json())
    trainer.initialize()
    trainer.on_train_epoch_start()
    return trainer


def test_terms_are_added_in_training_alone(trainer: Any) -> None:
    batch = make_batch()
    trainer.network.eval()
    outputs = trainer.network(batch["data"])
    assert torch.equal(trainer.loss(outputs, batch["target"]), trainer.loss.segmentation(outputs, batch["target"]))
    trainer.network.train()
    with torch.no_grad():
        outputs = trainer.network(torch.cat([batch["data"], torch.ones_like(batch["data"][:1])]))
        segmentation = trainer.loss.segmentation([output[:-1] for output in outputs], batch["target"]).item()
    total = float(trainer.train_step(batch)["loss"])
    (energy,) = trainer._terms["energy"]
    assert energy > 0
    assert total == pytest.approx(segmentation + energy, rel=1e-5)
    trainer.on_train_epoch_end([{"loss": total}])
    assert f"Energy: energy {energy:.4f}" in log_of(trainer)


def test_heads_move_as_with_adamw_alone(trainer: Any) -> None:
    head = trainer.asked.head
    plain = nn.Linear(head.in_features, 1)
    plain.load_state_dict(head.state_dict())
    optimizer = torch.optim.AdamW(plain.parameters(), trainer.heads_lr)
    for _ in range(2):
        trainer.train_step(make_batch())
        plain.weight.grad, plain.bias.grad = head.weight.grad.clone(), head.bias.grad.clone()
        optimizer.step()
    assert torch.equal(plain.weight, head.weight)


def test_it_goes_on_exactly(trainer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(trainer.num_iterations_per_epoch):
        trainer.train_step(make_batch())
    file = tmp_path / "checkpoint_latest.pth"
    save(trainer, file)
    assert torch.load(file, weights_only=True)["init_args"][HEADS_KEY]["optimizer"]["state"]
    network = "Hybrid" if isinstance(bare(trainer.network), Factorizer) else "PlainConvUNet"
    other = begun(network, tmp_path, monkeypatch)
    for parameter in [*other.network.parameters(), *other.asked.parameters()]:
        nn.init.zeros_(parameter)
    other.load_checkpoint(str(file))
    trainer.current_epoch, batch = 1, make_batch()
    for each in (trainer, other):
        each.on_train_epoch_start()
        each.train_step(batch)
    assert all(torch.equal(value, weights(other)[name]) for name, value in weights(trainer).items())
    assert torch.equal(trainer.asked.head.weight, other.asked.head.weight)


def test_several_gpus_are_refused(trainer: Any) -> None:
    trainer.was_initialized, trainer.is_ddp = False, True
    with pytest.raises(UserError, match=r"(?s)several GPUs .*Leave -num_gpus out"):
        trainer.initialize()
