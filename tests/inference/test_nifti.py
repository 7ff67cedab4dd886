"""Maps have the geometry of the image, whichever of nnU-Net's readers read it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.imageio.base_reader_writer import BaseReaderWriter
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from nnunetv2.imageio.nibabel_reader_writer import NibabelIO, NibabelIOWithReorient
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO, SimpleITKIOWithReorient

from nnunetv2_factorizer.inference.nifti import direction_of, write_map
from tests.inference.small_predictor import noise, write_channels

OBLIQUE = {
    "Spacing": (0.5, 0.75, 3.0),
    "Origin": (-10.0, 20.0, 5.5),
    "Direction": (0.0, -1.0, 0.0, 0.8, 0.0, -0.6, 0.6, 0.0, 0.8),
}


@pytest.mark.parametrize("reader", [SimpleITKIO, SimpleITKIOWithReorient, NibabelIO, NibabelIOWithReorient])
def test_geometry_and_values_of_an_oblique_volume(tmp_path: Path, reader: type[BaseReaderWriter]) -> None:
    (file,) = write_channels(tmp_path, noise(4, 5, 6), **OBLIQUE)
    image, properties = reader().read_images([file])
    write_map(2.5 * image[0], tmp_path / "map.nii.gz", properties)
    original, written = sitk.ReadImage(file), sitk.ReadImage(str(tmp_path / "map.nii.gz"))
    for what in ("Size", "Spacing", "Origin", "Direction"):
        np.testing.assert_allclose(getattr(written, f"Get{what}")(), getattr(original, f"Get{what}")(), atol=1e-5)
    read = SimpleITKIOWithReorient if "Reorient" in reader.__name__ else SimpleITKIO
    _, of_simpleitk = read().read_images([file])
    np.testing.assert_allclose(direction_of(properties), direction_of(of_simpleitk), atol=1e-5)
    values = 2.5 * sitk.GetArrayFromImage(original)
    np.testing.assert_allclose(sitk.GetArrayFromImage(written), values, rtol=1e-6)


def test_picture_in_2d_gets_voxels_of_a_millimetre(tmp_path: Path) -> None:
    path = tmp_path / "case_0000.png"
    sitk.WriteImage(sitk.GetImageFromArray(np.arange(30, dtype=np.uint8).reshape(5, 6)), str(path))
    image, properties = NaturalImage2DIO().read_images([str(path)])
    write_map(image[0], tmp_path / "map.nii.gz", properties)
    written = sitk.ReadImage(str(tmp_path / "map.nii.gz"))
    assert written.GetSize() == (6, 5)
    assert written.GetSpacing() == (1.0, 1.0)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written), image[0, 0])


def test_volume_without_a_geometry_keeps_its_spacing(tmp_path: Path) -> None:
    properties: dict[str, Any] = {"spacing": [3.0, 0.5, 0.25]}  # as nnU-Net's Tiff3DIO gives it
    write_map(noise(2, 3, 4), tmp_path / "map.nii.gz", properties)
    assert sitk.ReadImage(str(tmp_path / "map.nii.gz")).GetSpacing() == (0.25, 0.5, 3.0)
