"""Fine-tuning: where the weights come from, that there are some, the schedule, what is frozen and how it goes on."""

from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.run.run_training import maybe_load_checkpoint
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.checkpoint import read_checkpoint
from nnunetv2_factorizer.pretraining.export import PRETRAINED, write_pretrained
from nnunetv2_factorizer.pretraining.finetuning import ORIGIN_KEY, VARIABLE, Finetuning, FinetuningSchedule
from nnunetv2_factorizer.trainers.nnUNetTrainer_PretrainMAE import nnUNetTrainer_PretrainMAE
from nnunetv2_factorizer.training import FamilyTrainer, Guard, MuonRecipe, PaperRecipe
from nnunetv2_factorizer.training.schedule import peak_learning_rate, warmup_cosine
from tests.training.networks import NETWORKS, plans_of
from tests.training.small_trainer import make_batch, make_trainer
from tests.training.test_trainers import find

FAMILIES = ("", "HybridFactorizer", "ConvFactorizer", "SwinFactorizer")


class nnUNetTrainerTest_Finetune(Finetuning, MuonRecipe): ...


class Freezing(nnUNetTrainerTest_Finetune):
    freeze = 1


@pytest.fixture(autouse=True)
def _variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(nnUNetTrainer, "on_train_start", lambda self: None)  # which asks for data


def make(cls: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, network: str = "Conv", **options: Any) -> Any:
    return make_trainer(cls, folder, monkeypatch, the_plans=plans_of(network) | options)


def save_pretrained(folder: Path, monkeypatch: pytest.MonkeyPatch, network: str = "Conv", channels: int = 2) -> Path:
    """A checkpoint of a training of the same network, with other random weights."""
    torch.manual_seed(7)
    the_plans = plans_of(network)
    cls = type("nnUNetTrainerBefore", (Guard, MuonRecipe), {})
    trainer = make_trainer(cls, folder, monkeypatch, channels, the_plans)
    trainer.initialize()
    with torch.no_grad():
        for p in trainer.network.parameters():
            p.add_(0.1 * torch.randn_like(p))
    save(trainer, folder / "checkpoint_pretrained.pth")
    return folder / "checkpoint_pretrained.pth"


def save(trainer: Any, path: Path) -> None:
    trainer.logger.log("ema_fg_dice", 0.0, trainer.current_epoch)
    trainer.save_checkpoint(str(path))


def weights(trainer: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in trainer.network.named_parameters()}


def train(trainer: Any, epoch: int) -> None:
    """An epoch of two iterations, with the same batches every time."""
    torch.manual_seed(epoch)
    trainer.current_epoch = epoch
    trainer.on_train_epoch_start()
    for _ in range(2):
        trainer.train_step(make_batch())


def body_is_of(trainer: Any, file: Path) -> bool:
    there = read_checkpoint(str(file))["network_weights"]
    own = weights(trainer).items()
    return all(torch.equal(p, there[name]) == ("seg_layers" not in name) for name, p in own)


def log_of(trainer: Any) -> str:
    return "".join(path.read_text() for path in sorted(Path(trainer.output_folder).glob("training_log_*.txt")))


@pytest.mark.parametrize("network", NETWORKS)
def test_the_variable_gives_the_weights(network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = save_pretrained(tmp_path, monkeypatch, network)
    monkeypatch.setenv(VARIABLE, str(file))
    trainer = make(nnUNetTrainerTest_Finetune, tmp_path, monkeypatch, network)
    trainer.on_train_start()
    assert body_is_of(trainer, file)
    assert f"Pre-trained weights from {file}\ntensors (parameters)" in log_of(trainer)
    train(trainer, 0)
    save(trainer, tmp_path / "checkpoint_latest.pth")
    init_args = read_checkpoint(str(tmp_path / "checkpoint_latest.pth"))["init_args"]  # reads plain values only
    assert init_args[ORIGIN_KEY] == {"path": str(file), "random": []}


def test_the_plans_give_the_weights_and_the_variable_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = save_pretrained(tmp_path, monkeypatch)
    info = {"checkpoint_path": str(file)}
    trainer = make(nnUNetTrainerTest_Finetune, tmp_path, monkeypatch, pretrain_info=info)
    trainer.on_train_start()
    assert body_is_of(trainer, file)
    info["checkpoint_path"] = str(tmp_path / "missing.pth")
    with pytest.raises(UserError, match=r"the plans names .*missing\.pth"):
        make(nnUNetTrainerTest_Finetune, tmp_path, monkeypatch, pretrain_info=info).initialize()
    monkeypatch.setenv(VARIABLE, str(file))
    make(nnUNetTrainerTest_Finetune, tmp_path, monkeypatch, pretrain_info=info).initialize()


@pytest.mark.parametrize("network", NETWORKS)
def test_nnunets_own_flag_gives_the_weights(network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = save_pretrained(tmp_path, monkeypatch, network)
    trainer = make(nnUNetTrainerTest_Finetune, tmp_path, monkeypatch, network)
    maybe_load_checkpoint(trainer, False, False, str(file))
    trainer.on_train_start()
    assert body_is_of(trainer, file)
    assert trainer.my_init_kwargs[ORIGIN_KEY]["path"] == "-pretrained_weights"


def test_without_weights_nothing_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make(nnUNetTrainerTest_Finetune, tmp_path, monkeypatch, pretrain_info=None)
    with pytest.raises(UserError, match="fine-tunes, but no pre-trained weights were given") as caught:
        trainer.on_train_start()
    assert "nnUNetTrainerTest_FinetuneFromScratch" in caught.value.remedy
    trainer = make(nnUNetTrainerTest_Finetune, tmp_path, monkeypatch)
    maybe_load_checkpoint(trainer, True, False)  # nnU-Net finds nothing to continue and starts a new training
    with pytest.raises(UserError, match=f"nor the variable {VARIABLE}"):
        trainer.on_train_start()


@pytest.mark.parametrize("network", ["PlainConvUNet", "Hybrid"])
@pytest.mark.parametrize("finished", [True, False])
def test_a_pretraining_gives_the_weights_even_where_it_was_interrupted(
    finished: bool, network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = make(nnUNetTrainer_PretrainMAE, tmp_path, monkeypatch, network)
    before.initialize()
    file = tmp_path / (PRETRAINED if finished else "checkpoint_latest.pth")
    if finished:
        write_pretrained(tmp_path, before._pretrained())
    else:
        before.save_checkpoint(str(file))
    monkeypatch.setenv(VARIABLE, str(file))
    trainer = make(nnUNetTrainerTest_Finetune, tmp_path, monkeypatch, network)
    trainer.on_train_start()
    there, here = before.network.body.state_dict(), trainer.network.state_dict()
    assert all(torch.equal(p, there[name]) for name, p in here.items() if "seg_layers" not in name)
    assert trainer.my_init_kwargs[ORIGIN_KEY]["random"] == []


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels_are_adapted(channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(save_pretrained(tmp_path, monkeypatch, channels=channels)))
    trainer = make(nnUNetTrainerTest_Finetune, tmp_path, monkeypatch)
    trainer.on_train_start()
    assert f"adapted: encoder.stem.weight, (8, {channels}, 3, 3, 3) in the file" in log_of(trainer)


def test_another_family_stops_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(save_pretrained(tmp_path, monkeypatch, "PlainConvUNet")))
    with pytest.raises(UserError, match="is of another network"):
        make(nnUNetTrainerTest_Finetune, tmp_path, monkeypatch, "Hybrid").on_train_start()


def test_going_on_and_validation_take_their_own_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(save_pretrained(tmp_path, monkeypatch)))
    through = make(nnUNetTrainerTest_Finetune, tmp_path, monkeypatch)
    through.on_train_start()
    train(through, 0)
    for name, flags in (("checkpoint_latest.pth", (True, False)), ("checkpoint_final.pth", (False, True))):
        path = Path(through.output_folder) / name
        save(through, path)
        for value in (str(tmp_path / "moved_away.pth"), ""):
            monkeypatch.setenv(VARIABLE, value)
            trainer = make(nnUNetTrainerTest_Finetune, tmp_path, monkeypatch)
            maybe_load_checkpoint(trainer, *flags)
            trainer.on_train_start()
            torch.testing.assert_close(weights(trainer), weights(through), rtol=0, atol=0)
        path.unlink()


@pytest.mark.parametrize("recipe", [MuonRecipe, PaperRecipe])
@pytest.mark.parametrize("mix_in", [Finetuning, FinetuningSchedule])
def test_every_group_has_a_tenth_of_its_rate(
    recipe: Any, mix_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = type("nnUNetTrainerTest", (mix_in, Guard, recipe), {})
    assert cls.num_epochs == 50
    trainer = make(cls, tmp_path, monkeypatch)
    trainer.num_epochs, trainer.num_iterations_per_epoch = 4, 10
    trainer.initialize()
    peaks = [0.0125, 3e-3] if recipe is MuonRecipe else [peak_learning_rate(40)]
    for step in range(40):
        expected = [0.1 * peak * warmup_cosine(step, 40, 4 if recipe is MuonRecipe else 10) for peak in peaks]
        if step in (0, 20):
            trainer.lr_scheduler.step(step // 10)  # as nnU-Net at the start of an epoch
        assert [group["lr"] for group in trainer.optimizer.param_groups] == pytest.approx(expected), step
        trainer.optimizer.step()
        trainer.lr_scheduler.step()


@pytest.mark.parametrize("recipe", [MuonRecipe, PaperRecipe])
def test_what_is_frozen_stays_and_goes_on_as_if_uninterrupted(
    recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(save_pretrained(tmp_path, monkeypatch)))
    cls = type("nnUNetTrainerTest", (Finetuning, recipe), {"freeze": 2, "num_epochs": 3})
    through = make(cls, tmp_path, monkeypatch)
    through.num_epochs = 3
    through.on_train_start()
    start, after = weights(through), []
    for epoch in range(3):
        train(through, epoch)
        after.append(weights(through))
        if epoch < 2:
            save(through, tmp_path / f"epoch_{epoch}.pth")
    for name, p in start.items():
        moved = [not torch.equal(weight[name], p) for weight in after]
        if ".seg_layers.0." not in name:  # the lowest resolution, which counts nothing in nnU-Net's loss
            assert moved == ([True] * 3 if ".seg_layers." in name else [False, False, True]), name
    assert "are frozen for the first 2 epochs" in log_of(through)

    monkeypatch.delenv(VARIABLE)
    for epoch in range(2):
        resumed = make(cls, tmp_path, monkeypatch)
        resumed.num_epochs = 3
        resumed.load_checkpoint(str(tmp_path / f"epoch_{epoch}.pth"))
        for following in range(epoch + 1, 3):
            train(resumed, following)
        torch.testing.assert_close(weights(resumed), after[-1], rtol=0, atol=0)


def test_what_no_weights_were_found_for_is_not_frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = save_pretrained(tmp_path, monkeypatch)
    state = torch.load(file, weights_only=False)
    missing = "encoder.stages.0.0.norm1.weight"
    del state["network_weights"][missing]
    torch.save(state, file)
    monkeypatch.setenv(VARIABLE, str(file))
    trainer = make(Freezing, tmp_path, monkeypatch)
    trainer.grad_scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    trainer.on_train_start()
    start = weights(trainer)
    train(trainer, 0)
    moved = {name for name, p in weights(trainer).items() if not torch.equal(p, start[name])}
    assert {missing, "decoder.seg_layers.1.weight"} <= moved
    assert all(name == missing or "seg_layers" in name for name in moved)


def test_inference_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/nowhere/file.pth")
    manager = PlansManager(plans_of("PlainConvUNet"))
    configuration = manager.get_configuration("3d_fullres")
    for family in FAMILIES:
        trainer = find(f"nnUNetTrainer{family}_Finetune")
        network = trainer.build_network_architecture(manager, configuration, 2, 3, False)
        assert network(torch.randn(1, 2, 8, 16, 16)).shape == (1, 3, 8, 16, 16)


@pytest.mark.parametrize("family", FAMILIES)
def test_found_by_name_in_every_length_with_its_control(family: str) -> None:
    for control in ("", "FromScratch"):
        name = f"nnUNetTrainer{family}_Finetune{control}"
        trainer = find(name)
        assert (trainer.num_epochs, trainer.lr_share, issubclass(trainer, MuonRecipe)) == (50, 0.1, True)
        assert issubclass(trainer, Finetuning) is (control == "")
        assert issubclass(trainer, Guard)
        if family:
            assert issubclass(trainer, FamilyTrainer)
            assert trainer.choices is find(f"nnUNetTrainer{family}").choices
        for epochs in (5, 20, 50, 100):
            assert find(f"{name}_{epochs}epochs").num_epochs == epochs


def test_the_control_starts_without_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make(find("nnUNetTrainer_FinetuneFromScratch"), tmp_path, monkeypatch)
    trainer.on_train_start()
    trainer.initialize()
    train(trainer, 0)
