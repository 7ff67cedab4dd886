"""`nnUNetv2_factorizer_attributes`, the command, in this process."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import io
from skimage.color import lab2rgb

from nnunetv2_factorizer.adaptation.skin_tone import fitzpatrick, typology_angle
from nnunetv2_factorizer.case_metadata import read_column
from nnunetv2_factorizer.cli import attributes as command
from tests.inference.small_predictor import write_channels
from tests.screen.cases import make_image

DATASET = "Dataset997_Small"
ANGLES = {"light": 60.0, "middle": 35.0, "dark": -20.0}
TYPES = {"light": 1, "middle": 3, "dark": 6}


def skin(degrees: float, size: tuple[int, int] = (80, 100), hair: bool = False) -> Any:
    """An 8-bit image `(H, W, 3)` of skin with the angle, a dark lesion in the middle, and a black corner."""
    b = 15.0
    lab = np.broadcast_to([50 + b * np.tan(np.radians(degrees)), 12.0, b], (*size, 3))
    image = (lab2rgb(lab) * 255).round().astype(np.uint8)
    image[30:50, 35:65] = 40
    image[:20, :20] = 0
    if hair:
        image[::5] = 20
    return image


def seen(image: Any) -> float:
    return typology_angle(image.transpose(2, 0, 1)[:, None].astype(np.float32), "case")


@pytest.mark.parametrize("degrees", [60.0, 45.0, 35.0, 22.0, 15.0, -20.0])
def test_the_angle_of_the_skin_is_found_and_hair_does_not_matter(degrees: float) -> None:
    assert seen(skin(degrees)) == pytest.approx(degrees, abs=1.5)  # 8 bits
    assert seen(skin(degrees, hair=True)) == pytest.approx(degrees, abs=1.5)


def test_types_and_bluish_light_skin() -> None:
    degrees = (56, 55, 42, 41, 29, 28, 20, 19, 11, 10, -60)
    assert [fitzpatrick(value) for value in degrees] == [1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    bluish = (lab2rgb(np.broadcast_to([80.0, 5.0, -3.0], (40, 40, 3))) * 255).astype(np.uint8)
    assert fitzpatrick(seen(bluish)) == 1


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set of skin, and a folder of MRI of which every second has noise."""
    for kind in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{kind}", str(tmp_path / kind))
    raw, images = tmp_path / "raw" / DATASET, tmp_path / "images"
    (raw / "imagesTr").mkdir(parents=True)
    images.mkdir()
    for name, degrees in ANGLES.items():
        io.imsave(raw / "imagesTr" / f"{name}_0000.png", skin(degrees), check_contrast=False)
    description = {"channel_names": {"0": "R", "1": "G", "2": "B"}, "labels": {"background": 0}, "file_ending": ".png"}
    (raw / "dataset.json").write_text(json.dumps(description))
    for case in range(8):
        image = 100 * make_image(case, (16, 48, 48)) * (1 + case)
        noise = np.random.default_rng(case).normal(0, image.std(), image.shape) * (case % 2)
        write_channels(images, *(image + noise).astype(np.float32), name=f"case_{case}")
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, *flags: Any) -> Any:
    """What the command ends with: a status, or a message."""
    monkeypatch.setattr(sys, "argv", ["attributes", *map(str, flags), "--disable_progress_bar"])
    try:
        command.main()
    except SystemExit as end:
        return end.code
    return 0


def test_skin_types_beside_what_is_recorded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, out = folder / "raw" / DATASET, folder / "new" / "case_metadata.json"
    recorded = json.dumps({"light": {"site": "A"}, "other": {"site": "B"}})
    (raw / "case_metadata.json").write_text(recorded)
    assert call(monkeypatch, "-d", 997, "-o", out) == 0
    assert "skin_tone: types of Fitzpatrick" in (said := capsys.readouterr().out)
    assert "  6: 1 of 3 cases" in said
    assert read_column(out.parent, "skin_tone", list(TYPES)) == TYPES
    assert read_column(out.parent, "site", ["light", "other"]) == {"light": "A", "other": "B"}
    assert (raw / "case_metadata.json").read_text() == recorded
    # Nothing is overwritten, neither a file nor a column.
    before = out.read_text()
    assert "exists and was not changed.\nGive another file with -o" in call(monkeypatch, "-d", 997, "-o", out)
    assert out.read_text() == before
    again = folder / "again.json"
    said = call(monkeypatch, "-d", 997, "-o", again, "--column", "site")
    assert "has the column 'site' already, such as 'A' of light.\nGive another name with --column" in said
    assert not again.exists()


def test_images_that_look_alike(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "case_metadata.json"
    assert call(monkeypatch, "-i", folder / "images", "-o", out, "--sites", 2) == 0
    assert "groups that look alike, not sites; mean silhouette" in capsys.readouterr().out
    sites = read_column(folder, "site", [f"case_{i}" for i in range(8)])
    assert len({sites[f"case_{i}"] for i in (0, 2, 4, 6)}) == len({sites[f"case_{i}"] for i in (1, 3, 5, 7)}) == 1
    assert set(sites.values()) == {"pseudo_1", "pseudo_2"}
    first = out.read_bytes()
    out.unlink()
    assert call(monkeypatch, "-i", folder / "images", "-o", out, "--sites", 2) == 0
    assert out.read_bytes() == first


def test_what_it_cannot_use(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, out = folder / "images", folder / "out.json"

    def message(*flags: Any) -> str:
        said = call(monkeypatch, *flags, "-o", out)
        assert not out.exists()
        return str(said)

    assert message("-i", images, "-d", 997) == message() == "2"
    assert message("-i", images, "--sites", 1) == message("-i", images, "--sites", "x") == "2"
    assert "nowhere is no folder.\nGive the folder of the images with -i." in message("-i", folder / "nowhere")
    assert "holds no images with the names that nnU-Net asks for" in message("-i", folder / "raw")
    assert "Give the ID or the name of one of your data sets with -d." in message("-d", 123)
    assert "Dataset123_None" in message("-d", "Dataset123_None")
    assert "case_0 is no image of 8-bit colours: 2 channels, 16 slices" in message("-i", images)
    assert "8 images cannot be divided into 9 groups" in message("-i", images, "--sites", 9)
    colours = folder / "raw" / DATASET / "imagesTr"
    io.imsave(colours / "tiny_0000.png", skin(30.0, (16, 90)), check_contrast=False)
    assert "tiny has 16 x 90 pixels; the skin is looked at in squares of 20 x 20" in message("-d", 997)
    write_channels(images, *np.zeros((2, 8, 12, 12), np.float32), name="flat")
    assert "channel 0 of flat is constant, 0 everywhere" in message("-i", images, "--sites", 2)
    (colours / "extra_0000.bmp").touch()
    assert "several file endings: .bmp, .png" in message("-i", colours)
