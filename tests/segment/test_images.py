"""Images that are found and read, and those that are refused."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from numpy.typing import NDArray
from skimage import io

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.segment.images import find_images, read_image
from tests.segment.examples import write_pngs


def write_channels(folder: Path, *channels: NDArray) -> None:
    """As NRRD: SimpleITK reads a NaN of a NIfTI file as 0."""
    folder.mkdir(exist_ok=True)
    for number, channel in enumerate(channels):
        sitk.WriteImage(sitk.GetImageFromArray(channel.astype(np.float32)), folder / f"a_{number:04d}.nrrd")


def test_colours_have_one_scale(tmp_path: Path) -> None:
    write_pngs(tmp_path / "in")
    cases, ending, reader = find_images(tmp_path / "in")
    assert ([case.name for case in cases], ending, reader) == (["case0", "case1"], ".png", NaturalImage2DIO)
    raw = np.moveaxis(io.imread(tmp_path / "in" / "case0_0000.png").astype(float), -1, 0)[:, None]
    image = read_image(cases[0], reader)
    assert image.colours
    np.testing.assert_allclose(image.data, (raw - raw.mean()) / raw.std(), rtol=1e-5, atol=1e-5)


def test_channels_of_other_units_have_their_own(tmp_path: Path) -> None:
    first = np.random.default_rng(0).normal(size=(4, 5, 6))
    write_channels(tmp_path, first, 1000 * first + 7, np.full_like(first, 3))
    cases, ending, reader = find_images(tmp_path)
    assert (len(cases[0].images), ending, reader) == (3, ".nrrd", SimpleITKIO)
    data = read_image(cases[0], reader).data
    np.testing.assert_allclose(data[0], data[1], atol=1e-4)
    np.testing.assert_allclose((data[0].mean(), data[0].std()), (0, 1), atol=1e-5)
    assert (data[2] == 0).all()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, r"a has 1 NaN or infinite pixels\.\nRepair the image"),
        (np.inf, r"a has 1 NaN or infinite pixels"),
        (None, r"a has one value everywhere: there is nothing in it to segment\.\nLook at the image"),
    ],
)
def test_images_that_cannot_be_segmented(tmp_path: Path, value: float | None, message: str) -> None:
    data = np.full((3, 4, 5), 0.1)
    if value is not None:
        data[0] = 1
        data[1, 2, 3] = value
    write_channels(tmp_path, data)
    cases, _, reader = find_images(tmp_path)
    with pytest.raises(UserError, match=message):
        read_image(cases[0], reader)


def test_folders_without_images(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no images with the names that nnU-Net asks for"):
        find_images(tmp_path / "none")
    write_pngs(tmp_path / "in")
    write_channels(tmp_path / "in", np.zeros((2, 3, 4)))
    with pytest.raises(UserError, match=r"has images of the types \.nrrd, \.png\.\nGive a folder of one type"):
        find_images(tmp_path / "in")


def test_a_file_that_is_no_image(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a_0000.png").write_text("no image")
    with pytest.raises(UserError, match=r"nnU-Net cannot read .*a_0000\.png: .+\nRepair the file"):
        find_images(tmp_path)
    assert "Traceback" not in capfd.readouterr().err
