"""Checkpoints: whole, readable without running anything, and refused where they do not fit."""

import os
import pickle
import resource
import shlex
import signal
import zipfile
from collections import defaultdict
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models import checkpoint as module
from nnunetv2_factorizer.models.checkpoint import RECORD_KEY, read_checkpoint
from nnunetv2_factorizer.trainers.nnUNetTrainerLocalFactorizer import nnUNetTrainerLocalFactorizer
from nnunetv2_factorizer.trainers.nnUNetTrainerSwinFactorizer import (
    nnUNetTrainerSwinFactorizer,
    nnUNetTrainerSwinFactorizer_5epochs,
)
from tests.training.small_trainer import make_batch, make_trainer, plans


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.proof}'",)


class CtrlC:
    """Is interrupted while it is pickled."""

    def __reduce__(self) -> Any:
        signal.raise_signal(signal.SIGINT)
        return str, ()


@pytest.fixture(scope="module")
def once_trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint after one epoch of one step, with the log that nnU-Net keeps."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as monkeypatch:
        trainer = make_trainer(nnUNetTrainerSwinFactorizer, folder, monkeypatch)
        trainer.initialize()
        trainer.on_train_epoch_start()
        trainer.on_train_epoch_end([trainer.train_step(make_batch())])
        with torch.no_grad():
            trainer.on_validation_epoch_start()
            trainer.on_validation_epoch_end([trainer.validation_step(make_batch())])
        trainer._best_ema = trainer.logger.get_value("ema_fg_dice", step=-1)
        return save(trainer, folder)


@pytest.fixture
def trained(once_trained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The trainer that made it."""
    trainer = make_trainer(nnUNetTrainerSwinFactorizer, tmp_path, monkeypatch)
    trainer.load_checkpoint(once_trained)
    trainer.current_epoch = 0
    return trainer


def save(trainer: Any, folder: Path) -> str:
    path = str(folder / "checkpoint_latest.pth")
    trainer.save_checkpoint(path)
    return path


def test_loads_as_weights_only_and_goes_on_where_it_was(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(trained, tmp_path)
    with torch.serialization.safe_globals(module.PLAIN_TYPES):
        assert torch.serialization.get_unsafe_globals_in_checkpoint(path) == []
    assert read_checkpoint(path)["init_args"][RECORD_KEY]["version"] == version("nnunetv2-factorizer")
    resumed = make_trainer(nnUNetTrainerSwinFactorizer_5epochs, tmp_path, monkeypatch)
    resumed.load_checkpoint(path)
    assert resumed.current_epoch == 1
    assert resumed._best_ema == trained._best_ema
    assert isinstance(resumed._best_ema, np.floating)
    for new, old in zip(resumed.network.parameters(), trained.network.parameters(), strict=True):
        assert torch.equal(new, old)
    assert resumed.optimizer.state_dict()["state"][0]["step"] == 1


def test_full_disk_leaves_the_previous_checkpoint(trained: Any, tmp_path: Path) -> None:
    path = save(trained, tmp_path)
    before = Path(path).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))  # as a full disk: writing fails half-way
    try:
        with pytest.raises(
            UserError,
            match=r"checkpoint_latest.pth could not be written \(.*\nAn earlier checkpoint of this name is untouched",
        ):
            save(trained, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert Path(path).read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["checkpoint_latest.pth"]


def test_ctrl_c_leaves_the_previous_checkpoint(trained: Any, tmp_path: Path) -> None:
    path = save(trained, tmp_path)
    before = Path(path).read_bytes()
    trained._best_ema = CtrlC()
    # In the background of a shell, as `make test &`, Python would have been started without a handler.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            save(trained, tmp_path)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert Path(path).read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["checkpoint_latest.pth"]


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("CUDA error: an illegal memory access")]
)
def test_errors_of_the_gpu_are_not_taken_for_a_full_disk(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: RuntimeError
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(trained.network, "state_dict", fail)
    with pytest.raises(RuntimeError) as raised:
        save(trained, tmp_path)
    assert raised.value is error


@pytest.mark.parametrize("module_name", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_scalars_of_numpy_1_and_2_are_read(trained: Any, tmp_path: Path, module_name: bytes) -> None:
    path = Path(save(trained, tmp_path))
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    (pickled,) = [name for name in members if name.endswith("data.pkl")]
    here = type(trained._best_ema).__reduce__(trained._best_ema)[0].__module__.encode()
    assert here + b"\nscalar" in members[pickled]
    members[pickled] = members[pickled].replace(here + b"\nscalar", module_name + b"\nscalar")
    with zipfile.ZipFile(path, "w") as new:  # PyTorch's format is not compressed either.
        for name, content in members.items():
            new.writestr(name, content)
    assert read_checkpoint(str(path))["_best_ema"] == trained._best_ema


def test_disabled_checkpointing_writes_nothing(trained: Any, tmp_path: Path) -> None:
    trained.disable_checkpointing = True
    assert not Path(save(trained, tmp_path)).exists()


def test_another_variant_with_the_same_weights_is_refused(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(trained, tmp_path)
    other = make_trainer(nnUNetTrainerLocalFactorizer, tmp_path, monkeypatch)
    other.initialize()
    other.network.load_state_dict(trained.network.state_dict())  # which nnU-Net would do
    expected = r"made by nnUNetTrainerSwinFactorizer for .*: matricize is 'swin' there, 'local' here\.\nUse it with"
    with pytest.raises(UserError, match=expected):
        other.load_checkpoint(path)
    assert other.current_epoch == 0


def test_plans_that_have_changed_are_refused(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(trained, tmp_path)
    other = make_trainer(nnUNetTrainerSwinFactorizer, tmp_path, monkeypatch, the_plans=plans(head_dim=8))
    with pytest.raises(UserError, match="head_dim is 4 there, 8 here"):
        other.load_checkpoint(path)


@pytest.mark.parametrize(
    "spelled_out",
    [
        {"rank": 1},
        {"recompute": False},
        {"window_size": [4, 4, 4]},
        {"window_size": [[4, 4, 4], 4, [4, 4, 4]], "head_dim": [4, 4, 4]},
        {"conv_op": "torch.nn.Conv3d"},
    ],
)
def test_arguments_that_mean_the_same_are_no_difference(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelled_out: dict[str, Any]
) -> None:
    path = save(trained, tmp_path)
    other = make_trainer(nnUNetTrainerSwinFactorizer, tmp_path, monkeypatch, the_plans=plans(**spelled_out))
    other.load_checkpoint(path)
    assert other.current_epoch == 1


def test_one_list_is_per_stage_and_a_list_in_it_per_axis(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_trainer(nnUNetTrainerSwinFactorizer, tmp_path, monkeypatch, the_plans=plans(window_size=[2, 4, 4]))
    first.initialize()
    path = save(first, tmp_path)
    changed = plans(window_size=[[2, 4, 4]] * 3)
    other = make_trainer(nnUNetTrainerSwinFactorizer, tmp_path, monkeypatch, the_plans=changed)
    with pytest.raises(UserError, match=r"window_size is \[2, 4, 4\] there, \[\[2, 4, 4\], "):
        other.load_checkpoint(path)


def test_another_number_of_channels_is_refused(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(trained, tmp_path)
    other = make_trainer(nnUNetTrainerSwinFactorizer, tmp_path, monkeypatch, channels=3)
    expected = r"encoder.stem.weight is of shape \(8, 2, 3, 3, 3\) there, \(8, 3, 3, 3, 3\) here\.\n"
    with pytest.raises(UserError, match=expected):
        other.load_checkpoint(path)


def test_a_newer_version_is_named(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as newer:
        newer.setattr(module, "version", lambda _: "7.8.9")
        path = save(trained, tmp_path)
    other = make_trainer(nnUNetTrainerSwinFactorizer, tmp_path, monkeypatch)
    with pytest.raises(UserError, match=r"made by nnunetv2-factorizer 7\.8\.9, newer .*\nInstall that version in"):
        other.load_checkpoint(path)


@pytest.mark.parametrize("part", [0, 0.01, 0.5, 0.99])
def test_truncated(trained: Any, tmp_path: Path, part: float) -> None:
    path = Path(save(trained, tmp_path))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    expected = r"checkpoint_latest.pth is truncated.*\nMove it away; --c then continues .* that --val needs\.$"
    with pytest.raises(UserError, match=expected):
        trained.load_checkpoint(str(path))


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle"])
def test_a_malicious_checkpoint_does_not_run(trained: Any, tmp_path: Path, kind: str) -> None:
    proof, path = tmp_path / "ran", tmp_path / "my fold" / "checkpoint_final.pth"
    path.parent.mkdir()
    content = {"network_weights": {}, "init_args": {}, "trainer_name": Malicious(proof)}
    if kind == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(UserError, match=r"asks for posix.system.*\n") as error:
        trained.load_checkpoint(str(path))
    assert f"nnUNetv2_factorizer_doctor --checkpoint {shlex.quote(str(path))}\n" in str(error.value)
    assert not proof.exists()
    pickle.loads(path.read_bytes()) if kind == "pickle" else torch.load(path, weights_only=False)
    assert proof.exists()  # It would have.


def test_something_else_is_named(trained: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "weights.pth")
    torch.save(trained.network.state_dict(), path)
    with pytest.raises(UserError, match="it lacks network_weights, init_args, trainer_name"):
        read_checkpoint(path)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth"):
        read_checkpoint(str(tmp_path / "nowhere.pth"))


LOGGED = {
    "int64": np.int64(3),
    "bool": np.bool_(True),
    "array": np.arange(6.0).reshape(2, 3),
    "array of whole numbers": np.arange(4),
    "strings": np.array(["a", "b"]),
    "defaultdict": defaultdict(list, {"a": [1]}),
    "defaultdict of numbers": defaultdict(float, {"a": 0.5}),
}


@pytest.mark.parametrize("name", LOGGED)
def test_what_a_log_may_hold_is_read(trained: Any, tmp_path: Path, name: str) -> None:
    path = save(trained, tmp_path)
    torch.save(torch.load(path, weights_only=False) | {"logging": {"mine": LOGGED[name]}}, path)
    read = read_checkpoint(path)["logging"]["mine"]
    if not isinstance(LOGGED[name], dict):  # one with a default is read as a plain one
        assert type(read) is type(LOGGED[name])
    np.testing.assert_equal(read, LOGGED[name])


@dataclass
class Mine:
    """A type that a user's trainer logs."""

    number: int = 0


def test_a_sound_checkpoint_with_another_type_is_not_called_damaged(trained: Any, tmp_path: Path) -> None:
    path = save(trained, tmp_path)
    torch.save(torch.load(path, weights_only=False) | {"logging": Mine(1)}, path)
    with pytest.raises(UserError, match=r"asks for tests\.models\.test_checkpoint\.Mine, which") as error:
        read_checkpoint(path)
    assert "damaged" not in str(error.value)
    assert "add_safe_globals" in error.value.remedy
    with torch.serialization.safe_globals([Mine]):  # as docs/faults.md says
        assert read_checkpoint(path)["logging"] == Mine(1)
