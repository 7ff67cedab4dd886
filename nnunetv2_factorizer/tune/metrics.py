"""Dice and HD95 of one case, by nnU-Net's counts and MONAI's surface distances."""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from nnunetv2.evaluation.evaluate_predictions import compute_tp_fp_fn_tn, region_or_label_to_mask
from numpy.typing import NDArray

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.installation import install_extra


def require_monai() -> None:
    """Checks that MONAI can be imported.

    Raises:
        UserError: it cannot.
    """
    try:
        with _quiet():
            import monai.metrics  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"HD95 is computed by MONAI, which cannot be imported ({error}).",
            f"Install it: {install_extra('tune')}",
        ) from error


def evaluate(
    prediction: NDArray,
    truth: NDArray,
    spacing: Sequence[float],
    labels: dict[str, tuple[int, ...]],
    ignore_label: int | None = None,
) -> dict[str, dict[str, float]]:
    """Dice and HD95 in mm of each label or region, by its name.

    Where both are empty, Dice is 1 and HD95 is 0. Where one of them is, Dice is 0 and HD95 is the diagonal of the
    image, as in the evaluation of BraTS. (nnU-Net's own summary leaves out cases where both are empty.)

    Args:
        prediction: label map `(z, y, x)`.
        truth: label map `(z, y, x)`.
        spacing: `(z, y, x)` in mm.
        labels: as `inference.labels.foreground` gives them.
        ignore_label: voxels of that label in `truth` count for nothing.
    """
    ignored = None if ignore_label is None else truth == ignore_label
    metrics = {}
    for name, label in labels.items():
        theirs, ours = (region_or_label_to_mask(labelmap, label) for labelmap in (truth, prediction))
        tp, fp, fn, _ = compute_tp_fp_fn_tn(theirs, ours, ignored)
        if ignored is not None:
            theirs, ours = theirs & ~ignored, ours & ~ignored
        dice = 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 1.0
        metrics[name] = {"dice": float(dice), "hd95": hd95(theirs, ours, spacing)}
    return metrics


def hd95(truth: NDArray, prediction: NDArray, spacing: Sequence[float]) -> float:
    """The 95th percentile of the distances between two surfaces in mm, the larger of both directions.

    Args:
        truth: mask `(z, y, x)`.
        prediction: mask `(z, y, x)`.
        spacing: `(z, y, x)` in mm.
    """
    with _quiet():
        from monai.metrics import compute_hausdorff_distance  # seconds to import, and not needed by anything else

    if not truth.any() and not prediction.any():
        return 0.0
    # Of a 2D image, which nnU-Net reads as one slice, every voxel would be on the surface.
    axes = [axis for axis, length in enumerate(truth.shape) if length > 1]
    used = [float(spacing[axis]) for axis in axes]
    if not truth.any() or not prediction.any():
        return math.dist([0.0] * len(axes), [truth.shape[axis] * s for axis, s in zip(axes, used, strict=True)])
    ours, theirs = (torch.from_numpy(np.squeeze(mask))[None, None] for mask in (prediction, truth))
    with _quiet():
        return float(compute_hausdorff_distance(ours, theirs, include_background=True, percentile=95, spacing=used))


@contextmanager
def _quiet() -> Iterator[None]:
    """MONAI warns of what it does itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield
