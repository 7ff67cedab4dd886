"""The small pictures that are kept of a case, where its volumes are too large to keep."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnunetv2_factorizer.explain.association import Association
from nnunetv2_factorizer.explain.pixels import heat, label_colours, levels, paint, png
from nnunetv2_factorizer.explain.view import View


@dataclass(frozen=True)
class SegmentationPictures:
    """Labels, as numbers from 1 in the order of their colours; 0 is none.

    Attributes:
        slices: the orthogonal ones, `(height, width)` each.
        atlas: a PNG file, clear where there is no label.
    """

    slices: tuple[NDArray[np.uint8], ...]
    atlas: bytes


@dataclass(frozen=True)
class CasePictures:
    """The image and its segmentations.

    Attributes:
        view: which slices are shown.
        labels: names of the labels, in the order of their colours.
        image: grey values of the orthogonal slices, `(height, width)` each.
        image_atlas: a PNG file.
        segmentations: by name; the first is what the components are compared with.
    """

    view: View
    labels: tuple[str, ...]
    image: tuple[NDArray[np.uint8], ...]
    image_atlas: bytes
    segmentations: Mapping[str, SegmentationPictures]

    @classmethod
    def of(
        cls,
        image: NDArray,
        segmentations: Mapping[str, NDArray[np.integer]],
        labels: Mapping[str, Collection[int]],
        spacing: Sequence[float],
        direction: Sequence[float] | None = None,
    ) -> "CasePictures":
        """Of the first channel of the image.

        Args:
            image: `(c, z, y, x)`.
            segmentations: name to `(z, y, x)`; the slices go through the first one that is not empty.
            labels: name to the values of a label or region; what is later in the order is painted over the earlier.
            spacing: mm `(z, y, x)`.
            direction: SimpleITK's nine numbers, where the image has them.
        """
        filled = [segmentation for segmentation in segmentations.values() if segmentation.any()]
        view = View.of([*filled, *segmentations.values()][0], spacing, direction)
        # A few bright voxels would leave the rest of the image black.
        lowest, highest = np.percentile(image[0], (0.5, 99.5))
        atlas = levels(view.atlas(image[0].astype(np.float32)), lowest, highest, 256)
        return cls(
            view,
            tuple(labels),
            tuple(levels(plane, lowest, highest, 256) for plane in view.slices(image[0].astype(np.float32))),
            png(atlas),
            {
                name: SegmentationPictures(
                    tuple(paint(plane, labels) for plane in view.slices(segmentation)),
                    png(paint(view.atlas(segmentation), labels), label_colours(len(labels))),
                )
                for name, segmentation in segmentations.items()
            },
        )

    @property
    def reference(self) -> str:
        """The name of the segmentation that the components are compared with."""
        return next(iter(self.segmentations))


@dataclass(frozen=True)
class MapPictures:
    """One component, or a residual.

    Attributes:
        name: such as "head 3, component 0".
        maximum: of the map; the highest level of its pictures.
        slices: levels of the orthogonal slices, `(height, width)` each.
        atlas: a PNG file.
        associations: by the name of the label.
    """

    name: str
    maximum: float
    slices: tuple[NDArray[np.uint8], ...]
    atlas: bytes
    associations: Mapping[str, Association]

    @classmethod
    def of(
        cls, name: str, volume: NDArray[np.floating], view: View, associations: Mapping[str, Association]
    ) -> "MapPictures":
        """Of a map `(z, y, x)`, which is not negative."""
        maximum = float(volume.max())
        return cls(
            name,
            maximum,
            tuple(levels(plane, 0, maximum) for plane in view.slices(volume)),
            png(levels(view.atlas(volume), 0, maximum), heat()),
            associations,
        )

    @property
    def best_label(self) -> str | None:
        """The label that the map goes with best; None where it says nothing about any."""
        best = max(self.associations, key=lambda label: self.associations[label].strength, default=None)
        return best if best is not None and self.associations[best].strength > 0 else None


@dataclass(frozen=True)
class LayerPictures:
    """One layer under the weights of one fold.

    Attributes:
        layer: such as "encoder.stages.0.0".
        fold: the fold.
        explained: the share of the layer's input that its reconstruction keeps.
        components: all of them.
        residual: what the reconstruction lost.
    """

    layer: str
    fold: int | str
    explained: float
    components: Sequence[MapPictures]
    residual: MapPictures

    def strongest(self, label: str) -> MapPictures | None:
        """The component that goes with a label best; None where none says anything about it."""
        best = max(self.components, key=lambda component: component.associations[label].strength)
        return best if best.associations[label].strength > 0 else None
