"""An image into k categories: the weights of the concepts at each position, and the category with the largest.

The weights lie in files while an image is put together. The largest is kept while one group of categories after another
goes by, each with its own pass of the network, so that these files do not grow with k.
"""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIOWithReorient
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.factorization import factorize
from nnunetv2_factorizer.factorization.precision import without_autocast
from nnunetv2_factorizer.factorization.rows import solve_rows
from nnunetv2_factorizer.factorization.threads import one_thread
from nnunetv2_factorizer.inference.image_space import to_image_space
from nnunetv2_factorizer.inference.images import Case, Preprocessed
from nnunetv2_factorizer.inference.load_image import load_image
from nnunetv2_factorizer.inference.model import Load
from nnunetv2_factorizer.inference.nifti import write_map
from nnunetv2_factorizer.inference.stitching import Tap, stitching

MODES = ("fixed", "assign")
GROUP = 64
"""Categories a pass. The default k takes one; with more, time grows, and not the room on the disk."""

ITERATIONS = 100
"""Of the NMF of a patch in the mode `assign`: as many as scikit-learn's takes to converge on such features."""


@dataclass(frozen=True)
class Concepts:
    """What images are segmented with.

    Attributes:
        stage: name of a module of the network.
        centres: of the dictionary, `(k, C)`.
        mode: `fixed`, `A ~ W H` with the centres as H; or `assign`, an NMF of each patch, each of whose components
            becomes the category with the most similar centre.
        components: of that NMF.
    """

    stage: str
    centres: NDArray[np.float32]
    mode: str = "fixed"
    components: int = 8

    @property
    def tap(self) -> Tap:
        """Makes the weights `(1, k, *s)` of the output of the stage."""
        if self.mode == "fixed":
            return partial(_fixed, torch.from_numpy(self.centres))
        return partial(_assign, torch.from_numpy(self.centres), self.components)


def segment_case(case: Case, *, load: Load, concepts: Concepts, output: Path, soft: bool = False) -> dict[int, int]:
    """Writes the segmentation of an image into categories 1 to k, in the geometry and the format of the image.

    0 is where nnU-Net crops the image, and where no concept has a weight. A segmentation that is there is only counted.

    Args:
        case: the image.
        load: gives the predictor of the model, with one fold.
        concepts: of the dictionary.
        output: folder; gets `CASE.nii.gz` or whatever the file ending is.
        soft: writes the weights of each category, too: `soft/CASE_001.nii.gz` and so on.

    Returns:
        How many voxels each category has, those with none left out.

    Raises:
        UserError: the image cannot be used, the stage has other channels than the dictionary, or the categories do not
            fit into the format.
    """
    predictor = load()
    writer = predictor.plans_manager.image_reader_writer_class()
    path = output / (case.name + predictor.dataset_json["file_ending"])
    if path.exists():
        return _count(writer.read_seg(str(path))[0][0].astype(int))
    if isinstance(writer, SimpleITKIOWithReorient) and len(concepts.centres) > 255:
        raise UserError(
            f"nnU-Net's {type(writer).__name__} writes numbers up to 255, the dictionary has {len(concepts.centres)} "
            "categories.",
            "Make a dictionary with -k 255 or fewer.",
        )
    image = load_image(predictor, case)
    with tempfile.TemporaryDirectory(dir=output, prefix=".concepts_") as folder:
        scratch = Path(folder)
        finished = scratch / "finished"
        (finished / "soft").mkdir(parents=True)
        weights = _weights(predictor, image, concepts, scratch)
        segmentation = _largest(weights, image.properties, finished / "soft" / case.name if soft else None)
        writer.write_seg(segmentation, str(finished / path.name), image.properties)
        if soft:
            (output / "soft").mkdir(exist_ok=True)
        # The segmentation last: where it is, everything is.
        for made in sorted(finished.rglob("*.*"), key=lambda file: file.name == path.name):
            os.replace(made, output / made.relative_to(finished))
    return _count(segmentation)


def _count(segmentation: NDArray[np.integer]) -> dict[int, int]:
    values, counts = np.unique(segmentation, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _weights(predictor: nnUNetPredictor, image: Preprocessed, concepts: Concepts, scratch: Path) -> Iterator[NDArray]:
    """Of each category its map `(z, y, x)` of the image; files of one group lie in `scratch` at a time."""
    for first in range(0, len(concepts.centres), GROUP):
        tap = partial(_some, concepts.tap, slice(first, first + GROUP))
        with stitching(predictor, {concepts.stage: tap}, scratch) as stitched:
            stitched.predictor.predict_logits_from_preprocessed_data(image.data)
        (weights,) = stitched.maps
        for index in range(weights.number):
            yield to_image_space(weights[index], predictor, image.properties)
        weights.path.unlink()


def _some(tap: Tap, chosen: slice, x: Tensor, output: Tensor) -> Tensor:
    """A part of the maps."""
    return tap(x, output)[:, chosen]


def _largest(weights: Iterator[NDArray], properties: dict, soft: Path | None) -> NDArray[np.uint16]:
    """The category with the largest weight at each voxel `(z, y, x)`; one map is in memory at a time.

    Maps are written as `soft`_001.nii.gz and so on.
    """
    segmentation = largest = None
    for category, image_map in enumerate(weights, start=1):
        if soft is not None:
            write_map(image_map, soft.with_name(f"{soft.name}_{category:03d}.nii.gz"), properties)
        if largest is None or segmentation is None:
            segmentation, largest = np.zeros(image_map.shape, np.uint16), np.zeros_like(image_map)
        segmentation[image_map > largest] = category
        np.maximum(largest, image_map, out=largest)
    assert segmentation is not None  # A dictionary has at least one centre.
    return segmentation


def _fixed(centres: Tensor, x: Tensor, output: Tensor) -> Tensor:
    features = _positions(output, centres)
    weights = solve_rows(features, centres.to(features.device).T)
    return _maps(weights, output)


def _assign(centres: Tensor, components: int, x: Tensor, output: Tensor) -> Tensor:
    """Votes: 1 for the category of the strongest component of a position."""
    features = _positions(output, centres)
    rank = min(components, *features.shape)
    generator = torch.Generator().manual_seed(0)  # nobody else's random numbers change
    w0, h0 = (torch.rand(size, rank, generator=generator).to(features.device) for size in features.shape)
    with one_thread(), without_autocast(features):
        w, h = factorize(features, w0, h0, num_iters=ITERATIONS)
        # Factors are unique up to the scale of each component: that of unit vectors makes weights comparable.
        strength, component = (w * torch.linalg.vector_norm(h, dim=0)).max(1)
        cosine = functional.normalize(h.T, dim=1) @ functional.normalize(centres.to(h.device), dim=1).T
    votes = functional.one_hot(cosine.argmax(1)[component], len(centres)).to(features.dtype)
    return _maps(votes * (strength > 0)[:, None], output)


def _positions(output: Tensor, centres: Tensor) -> Tensor:
    """The non-negative features `(positions, C)` of the output `(1, C, *s)` of a stage."""
    if output.shape[1] != centres.shape[1]:
        raise UserError(
            f"the stage has {output.shape[1]} channels, the dictionary was made for one with {centres.shape[1]}.",
            "Make a dictionary for this model and stage with `nnUNetv2_factorizer_concepts fit`.",
        )
    return torch.relu(output.float())[0].flatten(1).T


def _maps(weights: Tensor, output: Tensor) -> Tensor:
    """`(positions, k)` as `(1, k, *s)`."""
    return weights.T.unflatten(1, output.shape[2:])[None]
