"""A model zip is looked at, and neither unpacked nor run."""

import io
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from nnunetv2_factorizer.doctor.model_zip import examine
from tests.doctor.test_pickles import Malicious

CHECKPOINT = "Dataset998_Phantom/nnUNetTrainer__nnUNetPlans__3d_fullres/fold_0/checkpoint_final.pth"


def checkpoint(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def write(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(CHECKPOINT, checkpoint({"network_weights": {"a": torch.zeros(1)}}))
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_good_zip(tmp_path: Path) -> None:
    findings = examine(write(tmp_path / "model.zip"))
    assert [(finding.name, finding.status) for finding in findings] == [("model zip", "ok"), (CHECKPOINT, "ok")]


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/evil", "C:\\evil", "..\\evil", "\\\\host\\share\\evil"]
)
def test_a_member_that_leaves_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    [finding] = examine(write(tmp_path / "model.zip", **{name: b""}))
    assert finding.status == "error"
    assert f"refused: {name} would be written outside" in finding.what


def test_a_link_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "model.zip")
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc")
    assert examine(path)[0].what.startswith("refused: link")


def test_a_malicious_checkpoint_in_it_is_named_and_does_not_run(tmp_path: Path) -> None:
    name, proof = CHECKPOINT.replace("fold_0", "fold_1"), tmp_path / "ran"
    findings = examine(write(tmp_path / "model.zip", **{name: checkpoint([Malicious(proof)])}))
    assert [finding.status for finding in findings] == ["ok", "ok", "error"]
    assert "posix.system" in findings[2].what
    assert not proof.exists()
    assert list(tmp_path.iterdir()) == [tmp_path / "model.zip"]


@pytest.mark.parametrize("content", [None, b"no zip"])
def test_a_file_that_is_no_zip(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.zip"
    if content is not None:
        path.write_bytes(content)
    [finding] = examine(path)
    assert finding.status == "error"
    assert finding.remedy
