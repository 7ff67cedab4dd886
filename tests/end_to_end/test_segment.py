"""`nnUNetv2_factorizer_segment` on PNG and NIfTI files, its going on and its refusals."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from tests.end_to_end.workspace import Workspace
from tests.segment.examples import agreement, halves, write_pngs

COMMAND = "nnUNetv2_factorizer_segment"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """RGB images; nothing of nnU-Net's is needed."""
    workspace = Workspace(tmp_path, "Dataset997_Halves")
    write_pngs(tmp_path / "in", 3)
    return workspace


def segment(workspace: Workspace, output: str, *flags: str, images: str = "in", check: bool = True) -> Any:
    return workspace.run(
        COMMAND, "-i", str(workspace.folder / images), "-o", str(workspace.folder / output), *flags,
        "--disable_progress_bar", check=check,
    )  # fmt: skip


def test_an_interrupted_run_goes_on(workspace: Workspace) -> None:
    flags = ("--method", "dfc", "-k", "2", "-device", "cpu")
    done = segment(workspace, "out", *flags)
    assert "Compare with --method kmeans" in done.stdout
    output = workspace.folder / "out"
    record = json.loads((output / "segment.json").read_text())
    assert list(record["cases"]) == ["case0", "case1", "case2"]
    assert record["cases"]["case0"]["seconds_an_iteration"] > 0
    maps = {path: path.read_bytes() for path in output.glob("*.png")}
    assert len(maps) == 3
    lost, kept = sorted(maps)[:2]
    lost.unlink()
    (output / "segment.json").write_text(json.dumps(record | {"cases": {}}))
    before = kept.stat().st_mtime_ns
    refused = segment(workspace, "out", *flags, check=False)
    assert "has other things in it and was not changed" in refused.stderr
    other = segment(workspace, "out", *flags, "--seed", "1", "--continue_prediction", check=False)
    assert "was begun with method dfc, k 2, seed 0" in other.stderr
    assert not lost.exists()
    (workspace.folder / "names.json").write_text('{"1": "dark"}')
    segment(workspace, "out", *flags, "--continue_prediction", "--names", str(workspace.folder / "names.json"))
    assert {path: path.read_bytes() for path in output.glob("*.png")} == maps
    assert kept.stat().st_mtime_ns == before
    assert list(json.loads((output / "segment.json").read_text())["cases"]) == list(record["cases"])
    assert "1: dark" in (output / "gallery.html").read_text()


def test_volumes_keep_their_geometry(workspace: Workspace) -> None:
    image = sitk.GetImageFromArray(np.stack([halves()[0]] * 2))
    image.SetSpacing((1.5, 1.0, 4.0))
    image.SetOrigin((3, -2, 7))
    image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    (workspace.folder / "volumes").mkdir()
    sitk.WriteImage(image, workspace.folder / "volumes" / "v_0000.nii.gz")
    segment(workspace, "kmeans", "--method", "kmeans", "-k", "2", images="volumes")
    segment(workspace, "factorizer", "--method", "factorizer", "-k", "9", "-device", "cpu", images="volumes")
    for method in ("factorizer", "kmeans"):
        written = sitk.ReadImage(workspace.folder / method / "v.nii.gz")
        for what in ("Size", "Spacing", "Origin", "Direction"):
            np.testing.assert_allclose(getattr(written, f"Get{what}")(), getattr(image, f"Get{what}")(), atol=1e-6)
    assert min(agreement(part) for part in sitk.GetArrayFromImage(written)) > 0.8
    assert json.loads((workspace.folder / "factorizer" / "cases" / "v.json").read_text())["slices"] == 2


def test_refusals(workspace: Workspace) -> None:
    unknown = segment(workspace, "out", "--method", "sam", check=False)
    assert unknown.returncode == 2
    assert "invalid choice: 'sam'" in unknown.stderr
    assert "msformer" in unknown.stderr
    few = segment(workspace, "out", "--method", "kmeans", "-k", "600", check=False)
    assert few.returncode == 1
    assert few.stderr.endswith("case0: k is 600, but there are only 576 pixels (24 x 24).\nGive a smaller -k.\n")
