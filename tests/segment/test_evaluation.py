"""The command `evaluate` on maps that are known: the method beside its controls, both protocols, and its refusals."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nnunetv2_factorizer.cli.segment_evaluate import evaluate
from nnunetv2_factorizer.errors import UserError

SHAPE = (40, 40)
CASES = ("a", "b")
IGNORE = 3


def write_png(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array.astype(np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images: dark with a bright square, that the truth calls 1 and 2. The map of `b` has collapsed."""
    truth = np.zeros(SHAPE, int)
    truth[10:20, 10:20], truth[10:20, 20:30] = 1, 2
    rng = np.random.default_rng(0)
    for case in CASES:
        write_png(tmp_path / "images" / f"{case}_0000.png", 50 + 100 * (truth > 0) + rng.integers(20, size=SHAPE))
        write_png(tmp_path / "labelsTr" / f"{case}.png", truth)
    write_png(tmp_path / "out" / "a.png", np.where(truth > 0, 1, 2))
    write_png(tmp_path / "out" / "b.png", np.ones(SHAPE))
    write_description(tmp_path, {"background": 0, "left": 1, "right": 2})
    write_record(tmp_path, {case: {"slices": 1} for case in CASES})
    return tmp_path


def write_description(folder: Path, labels: dict[str, int]) -> None:
    (folder / "dataset.json").write_text(json.dumps({"labels": labels, "file_ending": ".png"}))


def write_record(folder: Path, cases: dict) -> None:
    record = {"version": "0", "method": "dfc", "k": 2, "seed": 0, "file_ending": ".png", "names": {}, "cases": cases}
    (folder / "out" / "segment.json").write_text(json.dumps(record))


def run(folder: Path, *flags: str) -> dict:
    output = folder / "result.json"
    where = ["-i", str(folder / "images"), "--predictions", str(folder / "out"), "--labels", str(folder / "labelsTr")]
    evaluate([*where, "-o", str(output), "--disable_progress_bar", *flags])
    return json.loads(output.read_text())


def test_the_method_beside_what_needs_no_method(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(folder)
    of_a, of_b, mean = result["cases"]["a"], result["cases"]["b"], result["mean"]
    assert list(mean) == ["dfc", "everything", "random", "k-means"]
    share = 200 / 1600
    everything = 2 * share / (1 + share)
    assert of_a["dfc"]["Dice"] == of_a["k-means"]["Dice"] == of_b["k-means"]["Dice"] == 1
    assert of_b["dfc"] == of_b["everything"]
    assert of_b["everything"]["Dice"] == pytest.approx(everything)
    assert of_b["everything"]["HM"] == pytest.approx(1 - share)
    assert of_b["everything"]["XOR"] == pytest.approx(1400 / 200)
    assert of_a["random"]["Dice"] == pytest.approx(2 * share / 2 / (share + 1 / 2), abs=0.05)
    assert of_a["dfc"]["matched Dice of left"] + of_a["dfc"]["matched Dice of right"] == pytest.approx(2 / 3)
    assert mean["dfc"]["Dice"] == pytest.approx((1 + everything) / 2)
    assert [mean[row]["collapsed"] for row in mean] == [1, 2, 0, 0]
    text = (folder / "result.md").read_text()
    assert text in capsys.readouterr().out
    assert "decided with the truth" in text
    assert "| 1 of 2 |" in text


def test_random_labels_are_those_of_the_case(folder: Path) -> None:
    before = run(folder)["cases"]["b"]
    for name in ("images/a_0000.png", "result.json", "result.md"):
        (folder / name).unlink()
    assert run(folder)["cases"] == {"b": before}


def test_the_leaky_protocol_flatters_and_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(folder, "--protocol", "leaky")
    assert result["notice"].startswith("NOT AN HONEST NUMBER")
    for text in (capsys.readouterr().out, (folder / "result.md").read_text()):
        assert "NOT AN HONEST NUMBER" in text
    dilated = (10 + 12) * (20 + 12)
    assert result["cases"]["a"]["everything"]["Dice"] == pytest.approx(2 * 200 / (200 + dilated))
    assert result["cases"]["a"]["dfc"]["Dice"] == 1
    assert "ARI" not in result["mean"]["dfc"]


def test_voxels_of_the_ignore_label_do_not_count(folder: Path) -> None:
    write_description(folder, {"background": 0, "left": 1, "right": 2, "ignore": IGNORE})
    truth = np.array(Image.open(folder / "labelsTr" / "a.png"))
    truth[:, 20:] = IGNORE
    write_png(folder / "labelsTr" / "a.png", truth)
    scores = run(folder)["cases"]["a"]
    assert scores["dfc"]["Dice"] == 1
    assert scores["dfc"]["matched Dice"] == 1
    assert "matched Dice of right" not in scores["dfc"]
    assert scores["everything"]["Dice"] == pytest.approx(2 * 100 / (100 + 800))


def test_nothing_is_overwritten(folder: Path) -> None:
    (folder / "result.md").write_text("mine")
    with pytest.raises(UserError, match=r"result\.md exists and was not changed\.\nGive another file with -o"):
        run(folder)
    assert not (folder / "result.json").exists()
    assert (folder / "result.md").read_text() == "mine"
    with pytest.raises(UserError, match=r"-o must end in \.json, got .*result\.txt"):
        run(folder, "-o", str(folder / "result.txt"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "labelsTr" / "b.png").unlink(), r"labelsTr/b\.png does not exist\.\nGive labels of all"),
        (lambda f: (f / "out" / "b.png").unlink(), r"out/b\.png does not exist\.\nRun the segmentation again"),
        (
            lambda f: write_png(f / "labelsTr" / "b.png", np.ones((8, 40))),
            r"^b: the segments are \(1, 40, 40\), the label \(1, 8, 40\)\.\nGive labels of the images",
        ),
        (
            lambda f: write_png(f / "labelsTr" / "b.png", np.zeros(SHAPE)),
            r"^b: no voxel of the label is foreground, .*\nLeave the case out: give -i",
        ),
        (
            lambda f: write_png(f / "labelsTr" / "b.png", np.full(SHAPE, 7)),
            r"^b has voxels of label 7; known are 0, 1, 2\.\nGive the dataset\.json",
        ),
        (lambda f: (f / "dataset.json").unlink(), r"dataset\.json does not exist\.\nGive the dataset\.json"),
        (lambda f: (f / "dataset.json").write_text("{}"), r"is no dataset\.json of nnU-Net v2: there is no labels"),
        (lambda f: write_record(f, {"c": {}}), r"^no image of .* is among the 1 cases of .*\nGive the folder"),
        (
            lambda f: write_record(f, {}),
            r"out is not finished\.\nRun the segmentation again with --continue_prediction",
        ),
    ],
)
def test_what_cannot_be_evaluated(folder: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(folder)
    with pytest.raises(UserError, match=message):
        run(folder)
    assert not list(folder.glob("result*"))


def test_an_image_whose_label_is_ignored_as_a_whole(folder: Path) -> None:
    write_description(folder, {"background": 0, "left": 1, "right": 2, "ignore": IGNORE})
    write_png(folder / "labelsTr" / "a.png", np.full(SHAPE, IGNORE))
    with pytest.raises(UserError, match=r"^a: no voxel of the label is foreground"):
        run(folder)
