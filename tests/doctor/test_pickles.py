"""The globals of a file are listed, and none of them is imported or called."""

import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nnunetv2_factorizer.doctor.pickles import EXPECTED, listed_globals
from nnunetv2_factorizer.errors import UserError


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.proof}'",)


def write(path: Path, content: Any, kind: str) -> None:
    if kind.startswith("protocol"):
        path.write_bytes(pickle.dumps(content, protocol=int(kind[-1])))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")


@pytest.mark.parametrize("kind", ["zip", "legacy", "protocol0", "protocol2", "protocol4", "protocol5"])
def test_a_malicious_pickle_is_listed_and_does_not_run(tmp_path: Path, kind: str) -> None:
    proof, path = tmp_path / "ran", tmp_path / "checkpoint.pth"
    write(path, {"network_weights": OrderedDict(a=1), "init_args": [Malicious(proof)]}, kind)
    assert listed_globals(path) == ["collections.OrderedDict", "posix.system"]
    assert not proof.exists()
    pickle.loads(path.read_bytes()) if kind.startswith("protocol") else torch.load(path, weights_only=False)
    assert proof.exists()  # It would have.


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_what_checkpoints_hold_is_expected(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "checkpoint.pth"
    module = torch.nn.Conv3d(1, 2, 3)
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(1, 1, 3, 3, 3)).sum().backward()
    optimizer.step()
    content = {
        "network_weights": module.state_dict() | {"half": torch.zeros(1).half(), "shared": torch.zeros(3)[1:]},
        "parameter": module.weight,
        "optimizer_state": optimizer.state_dict(),
        "logging": [np.float64(1), np.float32(2)],
        "device": torch.device("cpu"),
    }
    write(path, content, kind)
    assert set(listed_globals(path)) <= EXPECTED


def test_a_chain_of_calls_and_states_runs_nothing(tmp_path: Path) -> None:
    """What a pickle can do to what it has made: call it, set its state and items, append, set attributes."""
    path = tmp_path / "file.pkl"
    path.write_bytes(
        b"cbuiltins\ngetattr\n(cos\nsystem\nX\x08\x00\x00\x00__call__tR(X\x05\x00\x00\x00falsetR"
        b"}X\x01\x00\x00\x00aK\x01sb(K\x01e(K\x01K\x02u."
    )
    assert listed_globals(path) == ["builtins.getattr", "os.system"]


@pytest.mark.parametrize("content", [b"", b"no pickle at all", b"PK\x03\x04 half a zip", b"\x80\x04K\x01"])
def test_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot be read as a checkpoint \(.*\)\nTake another copy"):
        listed_globals(path)


def test_what_was_asked_for_before_the_damage_is_said(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(b"cos\nsystem\n(X\x05\x00\x00\x00false")
    with pytest.raises(UserError, match=r"after asking for os\.system"):
        listed_globals(path)


def test_a_zip_that_is_none_of_pytorchs(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(UserError, match="a zip without a pickle"):
        listed_globals(path)
