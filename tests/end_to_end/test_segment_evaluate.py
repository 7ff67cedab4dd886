"""`nnUNetv2_factorizer_segment evaluate` after `nnUNetv2_factorizer_segment`, on a data set in nnU-Net's raw format."""

import json
from pathlib import Path

from nnunetv2_factorizer.demo.texture import write_dataset
from tests.end_to_end.workspace import Workspace

COMMAND = "nnUNetv2_factorizer_segment"


def test_k_means_of_intensities_is_at_chance_on_textures(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "Dataset996_Texture")
    write_dataset(workspace.raw, 2, (64, 64))
    images, output = str(workspace.raw / "imagesTr"), tmp_path / "out"
    workspace.run(COMMAND, "-i", images, "-o", str(output), "--method", "kmeans", "-k", "2")
    flags = ("-i", images, "--predictions", str(output), "--labels", str(workspace.raw / "labelsTr"))
    done = workspace.run(COMMAND, "evaluate", *flags)
    result = json.loads((output / "evaluation_best-overlap.json").read_text())
    assert list(result["cases"]) == ["texture_000", "texture_001"]
    mean = result["mean"]
    assert mean["kmeans"]["Dice"] == mean["k-means"]["Dice"]
    assert abs(mean["kmeans"]["Dice"] - mean["random"]["Dice"]) < 0.08
    assert (output / "evaluation_best-overlap.md").read_text() in done.stdout
    again = workspace.run(COMMAND, "evaluate", *flags, check=False)
    assert again.returncode == 1
    assert "evaluation_best-overlap.json exists and was not changed.\nGive another file with -o" in again.stderr
    assert "Traceback" not in again.stderr
