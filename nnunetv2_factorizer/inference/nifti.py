"""Maps of real numbers as NIfTI files; nnU-Net's own writers are for labels."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK as sitk
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray


def write_map(image: NDArray, path: Path, properties: dict[str, Any]) -> None:
    """Writes a map in the geometry of the image that nnU-Net's reader gave `properties` of.

    Args:
        image: `(z, y, x)`, z of length 1 for an image in 2D.
        path: `.nii.gz`.
        properties: with the spacing, origin and direction as the reader keeps them; an image without any, such as a
            PNG, gets voxels of 1 mm.
    """
    image = np.ascontiguousarray(image, np.float32)
    if "nibabel_stuff" in properties:
        _write_nibabel(image, path, properties["nibabel_stuff"])
        return
    geometry = properties.get("sitk_stuff", {})
    spacing = geometry.get("spacing") or _spacing(properties)
    written = sitk.GetImageFromArray(image[0] if len(spacing) == 2 else image)
    written.SetSpacing([float(s) for s in spacing])
    if geometry:
        written.SetOrigin(geometry["origin"])
        written.SetDirection(geometry["direction"])
    if "original_orientation" in geometry:
        written = sitk.DICOMOrient(written, geometry["original_orientation"])
    sitk.WriteImage(written, str(path), useCompression=True)


def direction_of(properties: dict[str, Any]) -> tuple[float, ...] | None:
    """SimpleITK's nine numbers of the axes `(x, y, z)` of a 3D image as its reader gave it; None without a geometry."""
    if "nibabel_stuff" in properties:
        geometry = properties["nibabel_stuff"]
        axes = geometry.get("reoriented_affine", geometry["original_affine"])[:3, :3]
        axes = axes / np.linalg.norm(axes, axis=0)
        axes[:2] *= -1  # NIfTI's axes go to the right and the front, SimpleITK's to the left and the back
        return tuple(axes.ravel().tolist())
    direction = properties.get("sitk_stuff", {}).get("direction", ())
    return tuple(direction) if len(direction) == 9 else None


def _spacing(properties: dict[str, Any]) -> list[float]:
    """Of an image without a geometry, `(x, y, z)`; nnU-Net's readers of 2D files give 999 for the missing axis."""
    spacing = list(properties["spacing"])
    return spacing[:0:-1] if spacing[0] == 999 else spacing[::-1]


def _write_nibabel(image: NDArray, path: Path, geometry: dict[str, Any]) -> None:
    original = geometry["original_affine"]
    nifti = nibabel.Nifti1Image(image.transpose(2, 1, 0), geometry.get("reoriented_affine", original))
    if "reoriented_affine" in geometry:
        nifti = nifti.as_reoriented(ornt_transform(axcodes2ornt("RAS"), io_orientation(original)))
    nibabel.save(nifti, str(path))
