"""The training of a stage: what each method adds to it, against a plain formulation."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from nnunetv2_factorizer.adaptation.with_objective import WithObjective
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.lifelong.methods import EWC, METHODS, Joint, LwF, Method, Rehearsal, Sequential
from nnunetv2_factorizer.lifelong.methods.ewc import FILE
from nnunetv2_factorizer.lifelong.methods.lwf import Distillation, distillation
from nnunetv2_factorizer.lifelong.methods.rehearsal import few
from nnunetv2_factorizer.lifelong.stage import VARIABLE, StageData, StageRecord
from nnunetv2_factorizer.lifelong.trainer import Lifelong
from nnunetv2_factorizer.pretraining.finetuning import VARIABLE as START
from nnunetv2_factorizer.training import MuonRecipe
from tests.adaptation.models import TARGET, began, log_of, make, save, weights, write_model
from tests.training.networks import plans_of
from tests.training.small_trainer import DATASET, dataset_json, make_batch

NETWORK = "PlainConvUNet"
EARLIER = (StageData(DATASET, "nnUNetFactorizerPlans", "all"),)


def staged(method: type[Method], folder: Path, monkeypatch: pytest.MonkeyPatch, first: bool = False) -> Any:
    """A trainer of the second stage, or of the first one, not initialised."""
    data = StageData(TARGET, "nnUNetFactorizerPlans", "all")
    record = StageRecord("any", "3d_fullres", data, () if first else EARLIER, None if first else "sha", first)
    record.save(folder / "stage.json")
    monkeypatch.setenv(VARIABLE, str(folder / "stage.json"))
    if first:
        monkeypatch.delenv(START)
    bases = (WithObjective, Lifelong, MuonRecipe) if method is LwF else (Lifelong, MuonRecipe)
    attributes = {"method": method, "objective": Distillation}
    return make(
        type("nnUNetTrainerTest_Lifelong", bases, attributes), folder, TARGET, plans_of(NETWORK), dataset_json()
    )


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkpoint of the stage before."""
    return write_model(tmp_path, monkeypatch, plans_of(NETWORK))


def moved(trainer: Any) -> Any:
    with torch.no_grad():
        for p in trainer.network.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return trainer


def test_ewc_has_the_gradient_of_its_formula(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two earlier stages, each with weights and a Fisher diagonal of its own."""
    trainer = staged(EWC, tmp_path, monkeypatch)
    with pytest.raises(UserError, match=r"fisher\.pth does not exist") as caught:
        began(trainer)
    assert "Bring it back" in caught.value.remedy
    stages = []
    for _ in range(2):
        theta = {name: torch.randn_like(p) for name, p in weights(trainer).items()}
        stages.append((theta, {name: torch.rand_like(p) for name, p in theta.items()}))
    names = list(stages[0][0])
    known = {
        "fisher": {n: sum(fisher[n] for _, fisher in stages) for n in names},
        "weighted": {n: sum(fisher[n] * theta[n] for theta, fisher in stages) for n in names},
    }
    torch.save(known, source.with_name(FILE))
    trainer = moved(began(staged(EWC, tmp_path, monkeypatch)))
    batch, named = make_batch(), dict(trainer.network.named_parameters())
    loss = trainer.loss(trainer.network(batch["data"]), batch["target"])
    penalty = sum((fisher[n] * (p - theta[n]) ** 2).sum() for theta, fisher in stages for n, p in named.items())
    expected = torch.autograd.grad(loss + 0.4 / 2 * penalty, list(named.values()), allow_unused=True)
    trainer.train_step(batch)
    for p, gradient in zip(named.values(), expected, strict=True):
        if p.grad is not None:  # the head without a loss has none
            torch.testing.assert_close(p.grad, gradient, rtol=1e-3, atol=1e-5)


def test_ewc_keeps_mean_squared_gradients_of_all_stages(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = began(staged(EWC, tmp_path, monkeypatch, first=True))
    batches = [make_batch(), make_batch()]
    trainer.dataloader_train = iter(batches)
    named = dict(trainer.network.named_parameters())
    expected = {name: torch.zeros_like(p) for name, p in named.items()}
    for batch in batches:
        trainer.network.zero_grad()
        trainer.loss(trainer.network(batch["data"]), batch["target"]).backward()
        for name, p in named.items():
            expected[name] += 0 if p.grad is None else p.grad**2 / 2
    trainer.adaptation.end_training()
    kept = torch.load(Path(trainer.output_folder) / FILE, weights_only=True)
    torch.testing.assert_close(kept["fisher"], expected)
    torch.testing.assert_close(kept["weighted"], {n: f * named[n].detach() for n, f in expected.items()})
    # The stage after it adds its own.
    monkeypatch.setenv(START, str(source))
    torch.save(kept, source.with_name(FILE))
    second = began(staged(EWC, tmp_path, monkeypatch))
    second.dataloader_train = iter(batches)
    own = {name: f.clone() for name, f in second.adaptation._fisher().items()}
    second.dataloader_train = iter(batches)
    second.adaptation.end_training()
    both = torch.load(Path(second.output_folder) / FILE, weights_only=True)
    torch.testing.assert_close(both["fisher"], {name: f + own[name] for name, f in kept["fisher"].items()})


def test_lwf_adds_the_divergence_from_the_answers_before(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = began(staged(LwF, tmp_path, monkeypatch))
    batch = make_batch()
    trainer.train_step(batch)
    assert trainer._terms["distillation"] == [pytest.approx(0, abs=1e-6)]  # it began there
    old = trainer.adaptation.old(batch["data"])
    moved(trainer)
    new = trainer.network(batch["data"])[0]
    p, q = ((logits / 2).softmax(1).clamp(min=1e-30) for logits in (old, new))
    expected = (p * (p.log() - q.log())).sum(1).mean()
    trainer.train_step(batch)
    assert trainer._terms["distillation"][1] == pytest.approx(expected.item(), rel=1e-3)
    torch.testing.assert_close(trainer.adaptation.old(batch["data"]), old, rtol=0, atol=0)  # it is frozen
    save(trainer, tmp_path / "checkpoint_latest.pth")
    again = staged(LwF, tmp_path, monkeypatch)
    again.load_checkpoint(str(tmp_path / "checkpoint_latest.pth"))
    again.on_weights_ready()
    torch.testing.assert_close(again.adaptation.old(batch["data"]), old, rtol=0, atol=0)


def test_divergence_of_regions() -> None:
    old, new = torch.randn(2, 3, 4, 5, 6), torch.randn(2, 3, 4, 5, 6)
    p, q = (torch.sigmoid(x.double() / 2) for x in (old, new))
    plain = functional.kl_div(q.log(), p, reduction="none") + functional.kl_div((1 - q).log(), 1 - p, reduction="none")
    torch.testing.assert_close(distillation(old, new, True).double(), plain.sum(1).mean(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("method", "number"), [(Rehearsal, 1), (Joint, 4)])
def test_earlier_cases_are_trained_on(
    method: type[Method], number: int, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = began(staged(method, tmp_path, monkeypatch))
    joined, validation = trainer.get_tr_and_val_datasets()
    old = [name for name in joined.identifiers if name.startswith(f"{DATASET}/")]
    assert (len(old), len(joined.identifiers)) == (number, number + 1)
    assert list(validation.identifiers) == ["case_0"]
    assert f"1 cases of this stage and {number} of 1 earlier stages" in log_of(trainer)
    there = trainer.dataset_class(str(tmp_path / "preprocessed" / DATASET / "nnUNetPlans_3d_fullres"))
    name = old[-1].partition("/")[2]
    assert (joined.load_case(old[-1])[0][:] == there.load_case(name)[0][:]).all()
    assert not (joined.load_case("case_0")[0][:] == there.load_case("case_0")[0][:]).all()


def test_a_few_cases_are_the_same_ones_each_time() -> None:
    names = [f"case_{i}" for i in range(9)]
    assert few(names, 0.25) == few(names, 0.25)
    assert len(few(names, 0.25)) == 2
    assert len(few(names[:2], 0.25)) == 1


@pytest.mark.parametrize("method", [Sequential, Joint, EWC, LwF])
def test_the_first_stage_starts_from_scratch(
    method: type[Method], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = weights(began(staged(Sequential, tmp_path, monkeypatch)))
    trainer = began(staged(method, tmp_path, monkeypatch, first=True))
    assert any(not torch.equal(p, old[name]) for name, p in weights(trainer).items())
    trainer.train_step(make_batch())


def test_without_a_pool_nothing_starts(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = staged(Sequential, tmp_path, monkeypatch)
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(UserError, match="this trainer belongs to a pool") as caught:
        began(trainer)
    assert "nnUNetv2_factorizer_lifelong train" in caught.value.remedy


@pytest.mark.parametrize("of", ["", "HybridFactorizer"])
def test_each_method_has_a_trainer_of_its_name(of: str) -> None:
    family = f"nnUNetTrainer{of}_Lifelong"
    module = import_module(f"nnunetv2_factorizer.trainers.{family}")
    for method in METHODS.values():
        trainer = getattr(module, f"{family}{method.__name__}")
        assert trainer.method is method
        assert issubclass(trainer, Lifelong)
        assert issubclass(trainer, WithObjective) is (method is LwF)
        assert (trainer.num_epochs, trainer.lr_share) == (200, 1.0)
