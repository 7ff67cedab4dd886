"""`nnUNetv2_factorizer_lifelong`, the command: what it refuses before anything is loaded, and its help."""

import sys
from pathlib import Path
from typing import Any

import pytest

from nnunetv2_factorizer.cli import lifelong as command


def call(monkeypatch: pytest.MonkeyPatch, *flags: str) -> Any:
    monkeypatch.setattr(sys, "argv", ["lifelong", *flags])
    with pytest.raises(SystemExit) as ended:
        command.main()
    return ended.value.code


def test_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{kind}", str(tmp_path / kind))
    pool, cpu = ("-pool", str(tmp_path / "pool")), ("-device", "cpu")
    for dataset in ("77", "nothing"):
        said = call(monkeypatch, "train", "-d", dataset, *pool, "-c", "3d_fullres", *cpu)
        assert "Give the ID or the name of one of your data sets with -d." in said
    for action in (("predict", "-i", str(tmp_path), "-o", str(tmp_path / "out")), ("evaluate",)):
        assert "pool is no pool of models.\nGive the folder of a pool" in call(monkeypatch, *action, *pool, *cpu)
    assert not (tmp_path / "out").exists()
    monkeypatch.delenv("nnUNet_raw")
    assert "nnUNet_raw is not set." in call(monkeypatch, "train", "-d", "77", *pool)
    assert call(monkeypatch, "predict", "-i", "a", "-o", "b", *pool, "-npp", "0", "-nps", "1") == 2


@pytest.mark.parametrize("action", ["train", "predict", "evaluate"])
def test_help_is_enough_to_work_with(
    action: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, action, "-h") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "[REQUIRED] folder of the pool" in said
    assert ("goes on with --c" in said) is (action == "train")
    assert ("near 0 is good" in said) is (action == "evaluate")
