"""How much the features of a network tell of an attribute of the case: what a fresh linear head finds in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from acvl_utils.cropping_and_padding.padding import pad_nd_image
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from numpy.typing import NDArray
from torch import Tensor

from nnunetv2_factorizer.case_metadata import Value
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.tiles import uncompiled

PARTS = 5
"""Of the cases, each predicted by a head that has seen the others; fewer where a value has fewer cases."""


@dataclass(frozen=True)
class Left:
    """How often a fresh head is right on cases that it has not seen, as a mean over the values of the attribute.

    Attributes:
        accuracy: in [0, 1].
        chance: that of guessing.
    """

    accuracy: float
    chance: float


def pool_stages(features: Sequence[Tensor], stages: Sequence[int]) -> Tensor:
    """Mean and maximum of each channel over space, `(B, 2 F)`.

    After InstanceNorm means alone are nearly the same for all images; maxima are not.

    Args:
        features: of the encoder's stages `(B, C, *S)`, highest resolution first.
        stages: indices of those that are taken, with F channels in all.
    """
    flat = [features[stage].float().flatten(2) for stage in stages]
    return torch.cat([pooled for x in flat for pooled in (x.mean(2), x.amax(2))], 1)


def case_features(predictor: nnUNetPredictor, data: Tensor, stages: Sequence[int] = (-1,)) -> NDArray[np.float32]:
    """The pooled features of a whole case, `(2 F,)`: their mean over nnU-Net's sliding window.

    Args:
        predictor: initialised with one fold of a trained model.
        data: the preprocessed image `(C, *S)`.
        stages: as in `pool_stages`.
    """
    encoder: Any = uncompiled(predictor.network).to(predictor.device).eval().encoder
    patch = predictor.configuration_manager.patch_size
    padded, _ = pad_nd_image(data, patch, "constant", {"value": 0}, True, None)
    windows = predictor._internal_get_sliding_window_slicers(tuple(padded.shape[1:]))
    with torch.inference_mode():
        pooled = [pool_stages(encoder(padded[window][None].to(predictor.device)), stages)[0] for window in windows]
    return torch.stack(pooled).mean(0).cpu().numpy()


def linear_probe(features: Mapping[str, NDArray[np.float32]], values: Mapping[str, Value]) -> Left:
    """Fits a fresh linear head, cross-validated, that predicts an attribute from the features of a case.

    Args:
        features: `(F,)` of each case.
        values: of the same cases; numbers are categories, too.

    Raises:
        UserError: all cases have one value, or a value has a single case.
    """
    from sklearn.linear_model import LogisticRegression  # a second, and whoever looks for a trainer imports this file
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    cases = sorted(features)
    kinds, labels, numbers = np.unique([str(values[case]) for case in cases], return_inverse=True, return_counts=True)
    if len(kinds) < 2 or numbers.min() < 2:
        found = ", ".join(f"{kind} ({number})" for kind, number in zip(kinds, numbers, strict=True))
        raise UserError(
            f"a probe was asked to tell apart the values of {len(cases)} cases: {found}.",
            "It needs two values or more, with at least two cases each.",
        )
    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, class_weight="balanced"))
    parts = StratifiedKFold(min(PARTS, int(numbers.min())), shuffle=True, random_state=0)
    guessed = cross_val_predict(head, np.stack([features[case] for case in cases]), labels, cv=parts)
    return Left(float(balanced_accuracy_score(labels, guessed)), 1 / len(kinds))
