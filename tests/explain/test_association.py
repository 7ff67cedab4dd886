"""AUC, best Dice and sign against counting over all pairs and all thresholds, and the memory they take."""

import json
import tracemalloc
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from nnunetv2_factorizer.explain import association
from nnunetv2_factorizer.explain.association import Association, associate

VOXELS = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=30)


def counted(scores: NDArray, mask: NDArray) -> tuple[float, float]:
    """AUC as the share of pairs (label, other) in the right order, ties half, and the best Dice over all thresholds."""
    difference = scores[mask][:, None] - scores[~mask][None, :]
    area = float(((difference > 0) + 0.5 * (difference == 0)).mean())
    rule = np.greater_equal if area >= 0.5 else np.less_equal
    return area, max(dice(rule(scores, threshold), mask) for threshold in scores)


def dice(a: NDArray, b: NDArray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@settings(deadline=None)
@given(VOXELS)
def test_equals_counting_over_pairs_and_thresholds(voxels: list[tuple[int, bool]]) -> None:
    scores = np.array([score / 7 for score, _ in voxels], np.float32).reshape(-1, 1, 1)
    mask = np.array([positive for _, positive in voxels]).reshape(-1, 1, 1)
    found = associate(scores, {"label": mask})["label"]
    if mask.all() or not mask.any():
        assert found == Association()
        return
    area, best = counted(scores.ravel(), mask.ravel())
    assert found.auc == pytest.approx(area)
    assert found.dice == pytest.approx(best)
    assert found.threshold is not None
    rule = np.greater_equal if found.sign == 1 else np.less_equal
    assert dice(rule(scores, np.float32(found.threshold)), mask) == pytest.approx(best)


def test_component_that_is_dark_in_the_label_has_the_inverse_sign() -> None:
    mask = np.zeros((4, 4, 4), bool)
    mask[1:3] = True
    bright, dark = (associate(np.where(mask, a, b), {"label": mask})["label"] for a, b in ((3.0, 1.0), (1.0, 3.0)))
    assert bright == Association(auc=1, sign=1, dice=1, threshold=3)
    assert dark == Association(auc=0, sign=-1, dice=1, threshold=1)


def test_constant_component_says_nothing() -> None:
    mask = np.zeros((2, 3, 4), bool)
    mask[0, 0] = True
    found = associate(np.zeros((2, 3, 4), np.float32), {"label": mask})["label"]
    assert found == Association(auc=0.5, sign=1, dice=pytest.approx(8 / 28), threshold=0)


@pytest.mark.parametrize("valid", [None, np.zeros((2, 2, 2), bool)])
def test_label_that_is_nowhere_or_everywhere_is_null_without_a_warning(valid: NDArray | None) -> None:
    masks = {"nowhere": np.zeros((2, 2, 2), bool), "everywhere": np.ones((2, 2, 2), bool)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = associate(np.random.default_rng(0).random((2, 2, 2)), masks, valid)
    null = {"auc": None, "sign": None, "dice": None, "threshold": None}
    text = json.dumps({name: asdict(association) for name, association in found.items()}, allow_nan=False)
    assert json.loads(text) == {"nowhere": null, "everywhere": null}


def test_only_valid_voxels_count() -> None:
    rng = np.random.default_rng(0)
    component, mask, valid = rng.random((5, 6, 7)), rng.random((5, 6, 7)) > 0.6, rng.random((5, 6, 7)) > 0.3
    found = associate(component, {"label": mask}, valid)["label"]
    area, best = counted(component[valid], mask[valid])
    assert (found.auc, found.dice) == (pytest.approx(area), pytest.approx(best))
    assert found != associate(component, {"label": mask})["label"]


SHAPE = (40, 80, 90)
NOISE = np.random.default_rng(0).standard_normal(SHAPE, np.float32)
SIGNAL = np.random.default_rng(1).standard_normal(SHAPE, np.float32)
MAPS = {
    "heavy tails": np.exp(8 * NOISE),
    "half zeros": np.maximum(NOISE, 0),
    "nearly all zeros": np.maximum(NOISE - 3, 0),
    "few values": np.round(2 * NOISE),
    "neighbouring floats": np.nextafter(np.float32(1), 2) + (NOISE * 5).astype(np.int32) * np.float32(2**-23),
    "two far clusters": np.where(SIGNAL > 0, 1e-20 * np.exp(NOISE), 1e20 * np.exp(NOISE)),
    "dark in the label": -NOISE,
    "constant but for one voxel": np.maximum(NOISE - np.sort(NOISE, axis=None)[-2], 0),
    "along an axis": np.broadcast_to(np.arange(SHAPE[2], dtype=np.float32), SHAPE),
}
LABELS = {
    "half": NOISE + SIGNAL > 0,
    "most": NOISE + SIGNAL > -2,
    "small": NOISE + 0.3 * SIGNAL > 2.5,
    "rare": NOISE - 0.1 * SIGNAL > 3.9,
    "block": np.pad(np.ones((40, 64, 64), bool), [(0, 0), (5, 11), (20, 6)]),
}


def best_dice(scores: NDArray, mask: NDArray, sign: int) -> float:
    """Over all thresholds, of the voxels in descending order where the sign is 1."""
    order = np.argsort(-sign * scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)  # A threshold takes all voxels of one value.
    true = np.cumsum(mask[order])[last]
    return float((2 * true / (np.arange(1, len(scores) + 1)[last] + mask.sum())).max())


@pytest.mark.parametrize("name", MAPS)
def test_accuracy_on_values_that_are_hard_to_bin(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(association, "CHUNK", 2**15)  # about nine chunks
    component = MAPS[name].astype(np.float32)
    found = associate(component, LABELS)
    assert list(found) == list(LABELS)
    for label, mask in LABELS.items():
        result = found[label]
        scores, flat = component.ravel(), mask.ravel()
        assert result.auc == pytest.approx(roc_auc_score(flat, scores), abs=3e-4)
        assert result.sign == (1 if result.auc >= 0.5 else -1)
        best = best_dice(scores, flat, result.sign)
        assert best - 1.2e-3 <= result.dice <= best + 1e-12
        assert result.threshold is not None
        rule = np.greater_equal if result.sign == 1 else np.less_equal
        assert dice(rule(scores, np.float32(result.threshold)), flat) == pytest.approx(result.dice)


@pytest.mark.parametrize("label", ["small", "rare"])
def test_small_labels_are_exact(label: str) -> None:
    mask = LABELS[label]
    assert mask.sum() < association.THRESHOLDS
    for component in MAPS.values():
        scores = component.astype(np.float32).ravel()
        found = associate(component.astype(np.float32), {"label": mask})["label"]
        assert found.auc == pytest.approx(roc_auc_score(mask.ravel(), scores), abs=1e-9)
        assert found.dice == pytest.approx(best_dice(scores, mask.ravel(), found.sign or 0), abs=1e-12)


@pytest.mark.parametrize(("small", "large"), [((64, 128, 128), (320, 128, 128)), ((1, 1024, 1024), (1, 5120, 1024))])
def test_memory_does_not_grow_with_the_volume(small: tuple[int, ...], large: tuple[int, ...], tmp_path: Path) -> None:
    """Less than a byte in ten voxels, of maps in memory and in files; a copy of the map would be 4 a voxel."""
    peaks = []
    for shape in (small, large):
        file = tmp_path / "map"
        np.random.default_rng(0).standard_normal(shape, np.float32).tofile(file)
        component = np.memmap(file, np.float32, "r", shape=shape)
        masks, valid = {"a": component > 1, "b": component < 2}, component < 2.5
        for values in (component, np.array(component)):
            tracemalloc.start()
            associate(values, masks, valid)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert max(peaks) - min(peaks) < 0.1 * (np.prod(large) - np.prod(small))
    assert max(peaks) < 20 * 2**20
