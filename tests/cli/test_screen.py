"""`nnUNetv2_factorizer_screen`, the command, in this process and with a network of random weights."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from nnunetv2_factorizer.cli import screen as command
from nnunetv2_factorizer.factorization.threads import one_thread
from tests.concepts.regions import make_predictor
from tests.inference.small_predictor import write_channels
from tests.screen.cases import CASES, CHECKPOINT, make_image, noisy, write_model, write_preprocessed
from tests.training.small_trainer import ENDING


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a preprocessed data set, the folder of a model, and images: two as those of the training, one noisy."""
    write_preprocessed(tmp_path, monkeypatch)
    write_model(tmp_path)
    predictor = make_predictor("PlainConvUNet", 3)
    monkeypatch.setattr(command, "load_model", lambda *arguments, **settings: predictor)
    for name, image in (("usual", make_image(3)), ("noisy", noisy(make_image(4))), ("other", make_image(5))):
        (tmp_path / "images").mkdir(exist_ok=True)
        write_channels(tmp_path / "images", *image, name=name, ending=ENDING)
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, folder: Path, action: str, *flags: str) -> Any:
    """What the command ends with: a status, or a message."""
    model = str(write_model(folder))
    arguments = {"fit": (), "run": ("-i", str(folder / "images"), "-o", str(folder / "out"))}[action]
    given = ["screen", action, "-m", model, "-device", "cpu", "--disable_progress_bar", *arguments, *flags]
    monkeypatch.setattr(sys, "argv", given)
    try:
        with one_thread():
            command.main()
    except SystemExit as end:
        return end.code
    return 0


def statistics(folder: Path) -> Path:
    return write_model(folder) / "fold_0" / "screen.json"


def test_fit_and_run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, folder, "fit") == 0
    assert "12 training cases\nWrote" in (said := capsys.readouterr().out)
    assert "15 held-out cases" in said
    first = statistics(folder).read_bytes()
    assert call(monkeypatch, folder, "fit") == 0  # again
    assert statistics(folder).read_bytes() == first
    capsys.readouterr()

    assert call(monkeypatch, folder, "run") == 3
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    table = next(i for i, row in enumerate(rows) if row[0] == "case")
    assert rows[table + 1][0] == "noisy"
    assert "noise" in rows[table + 1]
    assert " ".join(rows[table + 4]) == "1 of 3 cases are shifted: their distance is above 1."
    assert {path.name for path in (folder / "out").iterdir()} == {"screen.html", "screen.json", "screen.csv"}
    record = json.loads((folder / "out" / "screen.json").read_text())
    assert {name for name, case in record["cases"].items() if case["shifted"]} == {"noisy"}

    # Nothing is overwritten.
    written = {path: path.read_bytes() for path in (folder / "out").iterdir()}
    assert "out exists and was not changed.\nGive another folder with -o" in call(monkeypatch, folder, "run")
    assert {path: path.read_bytes() for path in (folder / "out").iterdir()} == written

    # Every time the same, and a status of 0 where nothing is shifted.
    shutil.rmtree(folder / "out")
    assert call(monkeypatch, folder, "run") == 3
    assert {path: path.read_bytes() for path in (folder / "out").iterdir()} == written
    shutil.rmtree(folder / "out")
    assert call(monkeypatch, folder, "run", "--threshold", "1000") == 0


def test_groups_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    raw = folder / "raw" / "Dataset997_Small"
    raw.mkdir(parents=True)
    metadata = {case: {"site": "AB"[number % 2]} for number, case in enumerate(CASES)}
    (raw / "case_metadata.json").write_text(json.dumps(metadata))
    assert call(monkeypatch, folder, "fit", "--by", "site") == 0
    assert "6 training cases with site A\n6 training cases with site B\n" in capsys.readouterr().out
    call(monkeypatch, folder, "run")
    record = json.loads((folder / "out" / "screen.json").read_text())
    assert record["column"] == "site"
    assert record["cases"]["usual"]["nearest"] == "B"
    assert "nearest site" in (folder / "out" / "screen.html").read_text()


def test_a_fit_that_fails_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, folder, "fit") == 0
    before = statistics(folder).read_bytes()
    assert "case_metadata.json does not exist" in call(monkeypatch, folder, "fit", "--by", "site")
    assert statistics(folder).read_bytes() == before
    statistics(folder).write_text('{"mine": 1}')
    said = call(monkeypatch, folder, "fit")
    assert "is no statistics of the screen and was not changed.\nMove it away." in said
    assert statistics(folder).read_text() == '{"mine": 1}'


def test_what_run_cannot_use(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def message(*flags: str) -> str:
        said = call(monkeypatch, folder, "run", *flags)
        assert not (folder / "out").exists()
        assert not list(folder.glob(".*"))  # nor a part of it
        return str(said)

    assert "screen.json does not exist.\nMake it with `nnUNetv2_factorizer_screen fit" in message()
    assert call(monkeypatch, folder, "fit") == 0
    assert "were made with checkpoint_final.pth, not with checkpoint_best.pth.\nGive -chk" in message(
        "-chk", "checkpoint_best.pth"
    )
    assert "holds no images with the names that nnU-Net asks for" in message("-i", str(folder / "results"))
    assert "nowhere is no folder.\nGive the folder of the images with -i." in message("-i", str(folder / "nowhere"))
    for threshold in ("0", "nan", "inf"):
        assert message("--threshold", threshold) == "2"
    (folder / "images" / f"other_0001{ENDING}").unlink()
    assert "other has 1 channels, the model was trained with 2" in message()
    checkpoint = write_model(folder) / "fold_0" / CHECKPOINT
    checkpoint.write_bytes(b"trained again")
    assert "was made with another checkpoint" in message()


@pytest.mark.parametrize("action", ["fit", "run"])
def test_help_is_enough_to_work_with(
    action: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["screen", action, "-h"])
    with pytest.raises(SystemExit):
        command.main()
    said = " ".join(capsys.readouterr().out.split())
    assert "default: 0" in said
    assert ("Exit status: 0, no case is shifted; 3, some case is" in said) is (action == "run")
