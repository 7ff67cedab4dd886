"""The benchmark of segmentation without labels: its data, its tables, and one run of it with its picture."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from benchmarks.segment import data
from benchmarks.segment.__main__ import run_one
from benchmarks.segment.pictures import draw
from benchmarks.segment.results import print_tables


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """30 small volumes in the place of the hippocampus."""
    folder = tmp_path / "raw" / data.HIPPOCAMPUS
    rng = np.random.default_rng(0)
    labels = np.zeros((6, 20, 18), np.uint8)
    labels[2, 5:9, 5:9], labels[3:5, 5:9, 5:12] = 1, 2
    for name, image in (("labelsTr", labels), ("imagesTr", 1e3 * labels + rng.random(labels.shape))):
        (folder / name).mkdir(parents=True)
        for case in range(30):
            ending = "_0000.nii.gz" if name == "imagesTr" else ".nii.gz"
            sitk.WriteImage(sitk.GetImageFromArray(image), str(folder / name / f"h_{case:02d}{ending}"))
    (folder / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "front": 1, "back": 2}}))
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    return folder


def test_slices_of_the_hippocampus(raw: Path, tmp_path: Path) -> None:
    folder = data.prepare(tmp_path / "out", "hippocampus")
    names = sorted(path.name for path in (folder / "labelsTr").iterdir())
    assert len(names) == data.IMAGES
    assert names[:2] == ["h_00.png", "h_02.png"]
    assert np.unique(Image.open(folder / "labelsTr" / "h_00.png")).tolist() == [0, 2]  # of slices 2 to 4 the middle one
    image = np.asarray(Image.open(folder / "imagesTr" / "h_00_0000.png"))
    assert (image.min(), image.max(), image.shape) == (0, 255, (20, 18))
    before = os.stat(folder).st_mtime_ns
    assert data.prepare(tmp_path / "out", "hippocampus") == folder
    assert os.stat(folder).st_mtime_ns == before


def test_a_run_and_its_picture(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "IMAGES", 2)
    monkeypatch.setattr("benchmarks.segment.__main__.device", lambda: type("Device", (), {"type": "cpu"}))
    for method in ("otsu", "kmeans"):
        run_one(tmp_path / "out", "hippocampus", method, 0)
    result = json.loads((tmp_path / "out" / "hippocampus_otsu_seed0.json").read_text())
    assert len(result["seconds"]) == 2
    assert result["best-overlap"]["mean"]["otsu"]["Dice"] > 0.9
    assert result["leaky"]["mean"]["everything"]["Dice"] > result["best-overlap"]["mean"]["everything"]["Dice"]
    figure = draw(tmp_path / "out", "hippocampus")
    assert [axes.get_title().partition("\n")[0] for axes in figure.axes[:4]] == ["image", "truth", "kmeans", "otsu"]


def write_run(out: Path, method: str, seed: int, dice: float, collapsed: int) -> None:
    def protocol(shift: float) -> dict[str, Any]:
        score = {"HM": 0.1, "XOR": 0.2, "matched Dice": 0.3, "ARI": 0.4, "VI": 0.5, "segments": 2, "collapsed": 0}
        rows = {method: dice, "everything": 0.2, "random": 0.1, "k-means": 0.6}
        mean = {row: score | {"Dice": value + shift} for row, value in rows.items()}
        mean[method]["collapsed"] = collapsed
        return {"mean": mean, "cases": {"a": {}, "b": {}}, "notice": "NOT HONEST" if shift else ""}

    run = {"data": "nuclei", "method": method, "seed": seed, "machine": "M", "seconds": {"a": 1.0, "b": 3.0}}
    run |= {"best-overlap": protocol(0), "leaky": protocol(0.3)}
    (out / f"nuclei_{method}_seed{seed}.json").write_text(json.dumps(run))


def test_table_has_controls_spread_and_collapses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path, "dfc", 0, 0.5, 1)
    write_run(tmp_path, "dfc", 1, 0.7, 2)
    write_run(tmp_path, "otsu", 0, 0.8, 0)
    print_tables(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert "nuclei: 2 images. M." in lines
    assert (
        "| dfc | 2 | 0.600 (0.500 to 0.700) | 0.200 | 0.100 | 0.600 | 0.100 | 0.200 | 0.300 | 0.400 | 0.500 | 2.0 | "
        "3 of 4 | 2.00 | 0.900 | 0.500 |" in lines
    )
    assert any(line.startswith("| otsu | 1 | 0.800 | 0.200 |") for line in lines)
    assert "Leaky: NOT HONEST" in lines
