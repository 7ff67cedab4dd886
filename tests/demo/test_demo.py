"""The demonstration: its data, its figure, its messages, and (slow) the whole of it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_factorizer.cli import demo
from nnunetv2_factorizer.demo.figure import save_figure
from nnunetv2_factorizer.demo.phantom import CHANNELS, SHAPE, SPACING, make_case, write_dataset
from nnunetv2_factorizer.demo.raw_data import check_dataset, link_dataset


def test_lesion_regions_are_nested_and_visible() -> None:
    image, labels = make_case(np.random.default_rng(0))
    assert image.shape == (len(CHANNELS), *SHAPE)
    core, oedema = labels == 2, labels == 1
    assert 0 < core.sum() < oedema.sum()
    t1ce, flair = image[CHANNELS.index("T1ce")], image[CHANNELS.index("FLAIR")]
    assert t1ce[core].mean() > 1.2 * t1ce[oedema].mean()
    assert flair[oedema].mean() > 1.2 * flair[labels == 0].mean()


def test_data_set_is_reproducible_and_anisotropic(tmp_path: Path) -> None:
    for name in ("Dataset001_A", "Dataset002_B"):
        write_dataset(tmp_path / name, num_training=2, num_test=1)
    a, b = (
        sitk.ReadImage(str(tmp_path / n / "imagesTs" / "phantom_Ts000_0003.nii.gz"))
        for n in ("Dataset001_A", "Dataset002_B")
    )
    assert np.array_equal(sitk.GetArrayViewFromImage(a), sitk.GetArrayViewFromImage(b))
    assert a.GetSpacing() == pytest.approx(SPACING[::-1])
    with pytest.raises(FileExistsError):
        write_dataset(tmp_path / "Dataset001_A", num_training=2, num_test=1)


def test_own_data_are_linked_with_cases_held_back(tmp_path: Path) -> None:
    dataset = tmp_path / "mine" / "Dataset042_Mine"
    write_dataset(dataset, num_training=8, num_test=0)
    before = sorted(path.relative_to(dataset) for path in dataset.rglob("*"))
    check_dataset(dataset)
    assert link_dataset(dataset, tmp_path / "raw") == "Dataset042_Mine"
    raw = tmp_path / "raw" / "Dataset042_Mine"
    assert [len(list((raw / f).iterdir())) for f in ("imagesTr", "labelsTr", "imagesTs", "labelsTs")] == [20, 5, 12, 3]
    assert json.loads((raw / "dataset.json").read_text())["numTraining"] == 5
    assert all(path.exists() for path in raw.rglob("*"))
    assert sorted(path.relative_to(dataset) for path in dataset.rglob("*")) == before


def test_figure_takes_regions_and_many_labels(tmp_path: Path) -> None:
    image = np.random.default_rng(0).random((2, 4, 20, 20))
    truth = np.arange(4 * 20 * 20).reshape(4, 20, 20) % 13
    labels: dict[str, int | list[int]] = {f"label {i}": i for i in range(1, 12)}
    save_figure(tmp_path / "figure.png", {"case": (image, truth, truth[::-1])}, labels | {"region": [1, 2]})
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "cases", "message"),
    [
        ("Dataset042_Mine", None, r"dataset\.json does not exist.\n--dataset takes a folder in nnU-Net's raw format"),
        ("mine", 6, "must be named DatasetXXX_NAME with three digits XXX, got mine"),
        ("Dataset042_Mine", 5, "has 5 training cases; at least 6 are needed"),
    ],
)
def test_wrong_data_sets_are_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, cases: int | None, message: str
) -> None:
    dataset, keep = tmp_path / name, tmp_path / "keep"
    if cases is not None:
        write_dataset(dataset, num_training=cases, num_test=0)
    monkeypatch.setattr(sys, "argv", ["demo", "--dataset", str(dataset), "--keep", str(keep)])
    with pytest.raises(SystemExit, match=message):
        demo.main()
    assert not keep.exists()


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    monkeypatch.setattr(sys, "argv", ["demo", "--keep", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"the folder is not empty\.\nGive a new one"):
        demo.main()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.slow
def test_whole_demonstration(tmp_path: Path) -> None:
    program = str(Path(sys.executable).parent / "nnUNetv2_factorizer_demo")
    done = subprocess.run([program, "--keep", str(tmp_path / "kept")], check=True, capture_output=True, text=True)
    assert "Mean Dice of the unseen cases" in done.stdout
    dice = [float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith(("  oedema", "  core"))]
    assert len(dice) == 2
    assert min(dice) > 0.5
    assert (tmp_path / "kept" / "demo.png").exists()
