"""The chain: a pre-training that starts from an earlier one, on images with other channels and with another task."""

from pathlib import Path
from typing import Any

import pytest
import torch

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.adapt import adapt_tensor
from nnunetv2_factorizer.pretraining.export import PRETRAINED, write_pretrained
from nnunetv2_factorizer.pretraining.finetuning import ORIGIN_KEY, VARIABLE
from nnunetv2_factorizer.trainers.nnUNetTrainer_PretrainMAE import nnUNetTrainer_PretrainMAE
from nnunetv2_factorizer.trainers.nnUNetTrainer_PretrainPOPAR import nnUNetTrainer_PretrainPOPAR
from tests.pretraining.test_trainer import batch
from tests.training.networks import NETWORKS, plans_of
from tests.training.small_trainer import make_trainer


def make(cls: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, network: str, channels: int) -> Any:
    return make_trainer(cls, folder, monkeypatch, channels, plans_of(network))


def pretrain(folder: Path, monkeypatch: pytest.MonkeyPatch, network: str = "Conv") -> Path:
    """A step of masked reconstruction on images of two channels."""
    torch.manual_seed(7)
    trainer = make(nnUNetTrainer_PretrainMAE, folder, monkeypatch, network, 2)
    trainer.initialize()
    trainer.on_train_epoch_start()
    trainer.train_step(batch())
    write_pretrained(folder, trainer._pretrained())
    return folder / PRETRAINED


def log_of(trainer: Any) -> str:
    return "".join(path.read_text() for path in sorted(Path(trainer.output_folder).glob("training_log_*.txt")))


@pytest.mark.parametrize("network", NETWORKS)
def test_the_body_goes_on_and_the_heads_start_anew(
    network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = pretrain(tmp_path / "first", monkeypatch, network)
    monkeypatch.setenv(VARIABLE, str(file))
    trainer = make(nnUNetTrainer_PretrainPOPAR, tmp_path / "second", monkeypatch, network, 1)
    torch.manual_seed(0)
    trainer.initialize()
    there = torch.load(file, weights_only=True)["network_weights"]
    body = trainer.network.body
    adapted = set()
    for name, tensor in body.state_dict().items():
        if ".seg_layers." in name:
            continue
        if tensor.shape == there[name].shape:
            assert torch.equal(tensor, there[name]), name
        else:
            adapted.add(name)
            torch.testing.assert_close(tensor, adapt_tensor(name, there[name], None, body))
    assert adapted  # the first layer, whatever it is called
    assert all(body.get_parameter(name).shape[1] == 1 for name in adapted)
    table = log_of(trainer)
    assert f"Pre-trained weights from {file}\ntensors (parameters)" in table

    monkeypatch.delenv(VARIABLE)
    new = make(nnUNetTrainer_PretrainPOPAR, tmp_path / "new", monkeypatch, network, 1)
    torch.manual_seed(0)
    new.initialize()
    heads = new.network.state_dict().items()
    assert all(torch.equal(t, trainer.network.state_dict()[n]) for n, t in heads if ".seg_layers." in n or "task." in n)

    trainer.on_train_epoch_start()
    trainer.train_step(batch(1))
    assert trainer._pretrained()["init_args"][ORIGIN_KEY]["path"] == str(file)


def test_one_that_goes_on_takes_its_own_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = pretrain(tmp_path / "first", monkeypatch)
    monkeypatch.setenv(VARIABLE, str(file))
    trainer = make(nnUNetTrainer_PretrainPOPAR, tmp_path / "second", monkeypatch, "Conv", 1)
    trainer.initialize()
    trainer.on_train_epoch_start()
    trainer.train_step(batch(1))
    trainer.logger.log("ema_fg_dice", 0.0, trainer.current_epoch)
    latest = str(tmp_path / "checkpoint_latest.pth")
    trainer.save_checkpoint(latest)

    file.unlink()
    resumed = make(nnUNetTrainer_PretrainPOPAR, tmp_path / "second", monkeypatch, "Conv", 1)
    resumed.load_checkpoint(latest)
    assert all(torch.equal(t, trainer.network.state_dict()[n]) for n, t in resumed.network.state_dict().items())
    assert resumed._pretrained()["init_args"][ORIGIN_KEY]["path"] == str(file)

    again = make(nnUNetTrainer_PretrainPOPAR, tmp_path / "second", monkeypatch, "Conv", 1)
    with pytest.raises(UserError, match=f"the variable {VARIABLE} names"):
        again.initialize()


def test_another_family_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(pretrain(tmp_path / "first", monkeypatch, "PlainConvUNet")))
    trainer = make(nnUNetTrainer_PretrainPOPAR, tmp_path / "second", monkeypatch, "Conv", 1)
    with pytest.raises(UserError, match="of another network"):
        trainer.initialize()
