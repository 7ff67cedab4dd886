"""Which slices of a volume a person is shown, and how a volume becomes these pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

FIGURE_PIXELS = 320  # the long side of an orthogonal slice
ATLAS_PIXELS = 160  # the long side of a slice in the atlas
ATLAS_SLICES = 32


@dataclass(frozen=True)
class View:
    """The slices shown of one case; the same ones of the image, the prediction and every map.

    Pictures have square pixels, of the same size in all slices, so that thick slices look as thick as they are.
    Voxels stay visible as boxes. Where a picture is smaller than the slice, voxels are averaged, except for integers
    (labels), which keep their values.

    Attributes:
        shape: voxels `(z, y, x)`. 2D has one slice, `z` of 1.
        spacing: mm `(z, y, x)`.
        centre: the voxel `(z, y, x)` that the orthogonal slices go through.
        atlas_slices: the `z` of the slices in the atlas, ascending; the centre's is among them.
        mirrored: the axes that are shown from their last voxel to the first.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    centre: tuple[int, ...]
    atlas_slices: tuple[int, ...]
    mirrored: tuple[int, ...]

    @classmethod
    def of(
        cls, segmentation: NDArray[np.integer], spacing: Sequence[float], direction: Sequence[float] | None = None
    ) -> "View":
        """The slices with most of the largest connected structure; those through the middle where there is none.

        Args:
            segmentation: labels `(z, y, x)`, 0 is background.
            spacing: mm `(z, y, x)`.
            direction: SimpleITK's nine numbers of a 3D image (x, y, z). With them, or without for an image along
                the axes of the scanner, heads are up, faces up and the patient's left is on the right.
        """
        centre = _middle_of_largest(segmentation)
        slices = np.linspace(0, segmentation.shape[0] - 1, min(segmentation.shape[0], ATLAS_SLICES)).round().astype(int)
        slices[np.abs(slices - centre[0]).argmin()] = centre[0]
        along_z, along_y, along_x = np.diag(np.reshape(direction, (3, 3)))[::-1] if direction is not None else (1, 1, 1)
        # SimpleITK's axes go to the left, the back and the head; rows of a picture go down.
        mirrored = tuple(np.flatnonzero([along_z >= 0, along_y < 0, along_x < 0]).tolist())
        return cls(segmentation.shape, tuple(float(s) for s in spacing), centre, tuple(slices.tolist()), mirrored)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the orthogonal slices, such as "z = 12"."""
        return tuple(f"{axis} = {index}" for axis, index in zip("zyx", self.centre, strict=True))[: self._planes]

    def slices(self, volume: NDArray) -> tuple[NDArray, ...]:
        """The slices across z, y and x through the centre, as pictures `(height, width)`; in 2D the one across z.

        Args:
            volume: `(z, y, x)`.
        """
        shown = (1, 2) if self._planes == 1 else (0, 1, 2)
        pixel = self._pixel(shown, FIGURE_PIXELS)
        planes = range(self._planes)
        return tuple(self._picture(volume.take(self.centre[axis], axis), axis, pixel) for axis in planes)

    def atlas(self, volume: NDArray) -> NDArray:
        """The atlas's slices across z beside each other, `(height, slices * width)`.

        Args:
            volume: `(z, y, x)`.
        """
        pixel = self._pixel((1, 2), ATLAS_PIXELS)
        return np.concatenate([self._picture(volume[z], 0, pixel) for z in self.atlas_slices], axis=1)

    @property
    def atlas_size(self) -> tuple[int, int]:
        """Height and width of a slice in the atlas, in pixels."""
        return self._size(0, self._pixel((1, 2), ATLAS_PIXELS))

    @property
    def _planes(self) -> int:
        return 1 if self.shape[0] == 1 else 3

    def _pixel(self, axes: tuple[int, ...], longest: int) -> float:
        """The side of a pixel in mm: the finest spacing, where `longest` pixels are enough for that."""
        return max(
            min(self.spacing[axis] for axis in axes),
            max(self.shape[axis] * self.spacing[axis] for axis in axes) / longest,
        )

    def _size(self, across: int, pixel: float) -> tuple[int, int]:
        height, width = (self.shape[axis] * self.spacing[axis] for axis in range(3) if axis != across)
        return max(1, round(height / pixel)), max(1, round(width / pixel))

    def _picture(self, plane: NDArray, across: int, pixel: float) -> NDArray:
        height, width = self._size(across, pixel)
        mirrored = [axis in self.mirrored for axis in range(3) if axis != across]
        plane = np.flip(plane, tuple(np.flatnonzero(mirrored).tolist()))
        if np.issubdtype(plane.dtype, np.integer):
            resized = Image.fromarray(plane.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST)
        else:
            resized = Image.fromarray(plane.astype(np.float32)).resize((width, height), Image.Resampling.BOX)
        return np.asarray(resized)


def _middle_of_largest(segmentation: NDArray[np.integer]) -> tuple[int, ...]:
    """For each axis, where the largest connected structure of the largest label has most voxels."""
    sizes = np.bincount(segmentation.ravel().astype(np.intp))[1:]
    if not sizes.any():
        return tuple(size // 2 for size in segmentation.shape)
    structures, _ = ndimage.label(segmentation == sizes.argmax() + 1)
    largest = structures == np.bincount(structures.ravel())[1:].argmax() + 1
    others = ((1, 2), (0, 2), (0, 1))
    return tuple(int(largest.sum(axes).argmax()) for axes in others)
