"""The parts of label cleaning, each against a plain formulation: start, fusion, correction, hiding, what changed."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.ndimage import gaussian_filter

from benchmarks.scanner.corruption import clean_cases, corrupt_dataset, corrupted
from nnunetv2_factorizer.adaptation.cleaning.changes import changes_of
from nnunetv2_factorizer.adaptation.cleaning.corrected import Corrected, remove_images, write_case
from nnunetv2_factorizer.adaptation.cleaning.correction import correct, unlabelled
from nnunetv2_factorizer.adaptation.cleaning.fusion import fuse
from nnunetv2_factorizer.adaptation.cleaning.hiding import BLUR, blur_background, diameters
from nnunetv2_factorizer.adaptation.cleaning.start import curve, fit, slope_change, starts
from nnunetv2_factorizer.case_metadata import read_column
from nnunetv2_factorizer.demo.phantom import write_dataset
from tests.pretraining.labelled import InMemory, blob

EPOCHS = np.arange(1, 61, dtype=float)


@pytest.mark.parametrize(("a", "b", "c"), [(0.8, 0.9, 8.0), (0.6, 0.5, 1.5)])
def test_a_class_starts_where_the_slope_of_its_curve_has_fallen(a: float, b: float, c: float) -> None:
    values = curve(EPOCHS, a, b, c)
    assert fit(values.tolist()) == pytest.approx((a, b, c), rel=0.02)
    step = 1e-6
    slopes = (curve(EPOCHS + step, a, b, c) - curve(EPOCHS - step, a, b, c)) / (2 * step)
    change = np.abs(slopes[0] - slopes) / np.abs(slopes[0])
    assert [slope_change(t, b, c) for t in EPOCHS] == pytest.approx(change.tolist(), abs=1e-5)
    first = int(np.argmax(change > 0.9)) + 1
    assert 4 < first < 60
    began = [starts(values[:t].tolist()) for t in (first - 2, first + 2)]
    assert began == [False, True]


def test_a_class_that_is_not_learned_never_starts() -> None:
    noise = np.abs(np.random.default_rng(0).normal(0, 0.01, 60))
    for values in (np.zeros(60), noise, 0.2 + noise):
        assert not any(starts(values[:t].tolist()) for t in (1, 4, 30, 60))
    assert not starts([0.8, 0.8, 0.8])  # three numbers are fitted
    assert starts([0.8] * 6)  # learned within the first epoch


def test_late_epochs_count_more() -> None:
    values = np.where(EPOCHS < 4, 0.1, 0.7)  # a late start: no such curve goes through all of it
    a, b, c = fit(values.tolist()) or (0, 0, 0)
    residuals = np.abs(curve(EPOCHS, a, b, c) - values)
    assert residuals[-5:].max() < 0.05 < residuals[:3].max()


def test_views_are_fused_by_their_confidence() -> None:
    views = torch.tensor([[[0.9], [0.1]], [[0.4], [0.6]]])  # two views, two classes, one voxel
    expected = (0.9 * 0.9 + 0.6 * 0.4) / (0.9 + 0.6)
    fused = fuse(views.unbind(0))
    assert fused[:, 0].tolist() == pytest.approx([expected, 1 - expected])
    views = torch.randn(8, 3, 4, 5).softmax(1)
    torch.testing.assert_close(fuse(views).sum(0), torch.ones(4, 5))
    torch.testing.assert_close(fuse([views[0]]), views[0])


def test_sure_predictions_replace_labels_of_the_classes_that_started() -> None:
    given = np.array([0, 0, 1, 1, 2, 2, -1, 0], np.int8)
    # Sure of:     1    2    0  unsure  1    0    1   unsure of 1
    fused = np.array(
        [
            [0.05, 0.0, 0.9, 0.4, 0.0, 0.9, 0.0, 0.7],
            [0.95, 0.1, 0.1, 0.3, 1.0, 0.1, 1.0, 0.3],
            [0.00, 0.9, 0.0, 0.3, 0.0, 0.0, 0.0, 0.0],
        ]
    )
    corrected = correct(given, fused, [1], 0.8)
    assert corrected.tolist() == [1, 0, 0, 1, 2, 2, -1, 0]  # class 2 has not started: nothing to or from it
    assert corrected.dtype == given.dtype
    assert correct(given, fused, [1, 2], 0.8).tolist() == [1, 2, 0, 1, 1, 0, -1, 0]
    assert np.flatnonzero(unlabelled(corrected, fused, [1], 0.8)).tolist() == [7]
    assert given.tolist() == [0, 0, 1, 1, 2, 2, -1, 0]


def ball(radius: float, centre: tuple[float, ...], size: tuple[int, ...], spacing: tuple[float, ...]) -> np.ndarray:
    grid = np.meshgrid(*(np.arange(n) * mm for n, mm in zip(size, spacing, strict=True)), indexing="ij")
    return sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True)) <= radius**2


def test_the_diameter_of_objects_is_in_mm() -> None:
    spacing = (2.0, 1.0, 1.0)
    labels = ball(10, (14, 14, 14), (40, 30, 60), spacing) | ball(6, (60, 14, 45), (40, 30, 60), spacing)
    assert sorted(diameters(labels, spacing)) == pytest.approx([12, 20], rel=0.06)
    discs = np.stack([ball(8, (15, 15), (30, 30), (1, 1))] * 2)  # in 2D, slices are images of their own
    assert diameters(discs, (1.0, 1.0)) == pytest.approx([16, 16], rel=0.05)
    assert len(diameters(np.zeros((4, 4, 4)), spacing)) == 0


@pytest.mark.parametrize("slices", [False, True])
def test_what_is_not_labelled_survives_as_blur_only(slices: bool) -> None:
    size, spacing = ((5, 60, 60), (1.0, 1.0)) if slices else ((30, 60, 60), (1.0, 1.0, 1.0))
    centres = ((15, 15, 15), (15, 45, 45))
    if slices:
        labelled, missing = (np.stack([ball(6, c[1:], size[1:], (1, 1))] * 5) for c in centres)
    else:
        labelled, missing = (ball(6, c, size, (1, 1, 1)) for c in centres)
    image = (np.random.default_rng(0).normal(0, 0.1, size) + labelled + missing).astype(np.float32)
    labels = labelled.astype(np.int8)
    if slices:
        labels[3:] = 0
    hidden = blur_background(image[None], labels, spacing, 12.0)[0]
    near = labels > 0
    np.testing.assert_array_equal(hidden[near], image[near])
    sigma = [0.0, 6.0, 6.0] if slices else [6.0] * 3
    assert BLUR * 12 == 6
    far = gaussian_filter(image, sigma)
    np.testing.assert_allclose(hidden[missing], far[missing], atol=1e-5)
    assert hidden[missing].mean() < 0.5 * image[missing].mean()
    if slices:  # a slice without a label is blurred throughout, whatever lies in the next one
        np.testing.assert_allclose(hidden[3:], far[3:], atol=1e-5)
    # The edge is feathered: nowhere a step that neither the image nor its blur has.
    nothing = blur_background(image[None], np.zeros_like(labels), spacing, 12.0)[0]
    np.testing.assert_array_equal(nothing, far)


def test_changes_are_counted_a_class_at_a_time() -> None:
    given, corrected = np.zeros((6, 12), int), np.zeros((6, 12), int)
    given[1, 1:4] = corrected[1, 1:4] = 1
    corrected[2, 1:3] = 1  # grows
    given[4, 1:3] = 1  # goes
    corrected[1:3, 8] = 2  # comes
    changes = changes_of(given, corrected, {"a": 1, "b": 2})
    assert changes["a"] == {"voxels_added": 2, "voxels_removed": 2, "components_added": 0, "components_removed": 1}
    assert changes["b"] == {"voxels_added": 2, "voxels_removed": 0, "components_added": 1, "components_removed": 0}


def test_the_loader_gets_corrected_labels_and_the_given_ones_stay(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    dataset = InMemory({"a": blob(rng, 1.0, 1), "b": blob(rng, 1.0, 1)})
    given = dataset.cases["a"][1].copy()
    wrapped = Corrected(dataset, tmp_path / "cleaning")
    assert wrapped.load_case("a")[1] is dataset.cases["a"][1]
    corrected = np.zeros_like(given)
    corrected[0, 3, 4, 5] = 1
    image = dataset.cases["a"][0] + 1
    write_case(tmp_path / "cleaning", "a", corrected, {1: np.array([[0, 3, 4, 5]]), 2: np.array([])}, image)
    loaded, labels, _, properties = wrapped.load_case("a")
    np.testing.assert_array_equal(labels, corrected)
    np.testing.assert_array_equal(loaded, image)
    assert {label: voxels.tolist() for label, voxels in properties["class_locations"].items()} == {
        1: [[0, 3, 4, 5]],
        2: [],
    }
    assert wrapped.load_case("b")[1] is dataset.cases["b"][1]
    np.testing.assert_array_equal(dataset.cases["a"][1], given)
    remove_images(tmp_path / "cleaning")
    assert wrapped.load_case("a")[0] is dataset.cases["a"][0]
    assert wrapped.load_case("a")[1].sum() == 1
    assert not list((tmp_path / "cleaning").glob("*.tmp"))


def test_corruption_deletes_and_redraws_the_same_objects_each_time() -> None:
    labels = np.zeros((4, 100, 100), np.uint8)
    for y in range(5, 95, 10):
        for x in range(5, 95, 10):
            labels[:, y : y + 5, x : x + 5] = 1 + (y // 10) % 2
    result = corrupted(labels, seed=1)
    np.testing.assert_array_equal(result, corrupted(labels, seed=1))
    assert not np.array_equal(result, corrupted(labels, seed=2))
    kept = [result[:, y : y + 5, x : x + 5].any() for y in range(5, 95, 10) for x in range(5, 95, 10)]
    assert 0.15 < 1 - np.mean(kept) < 0.45
    assert np.sum((labels > 0) & (result == 0)) > 0 < np.sum((labels == 0) & (result > 0))
    assert not np.any((labels > 0) & (result > 0) & (labels != result))
    cases = [f"case_{i}" for i in range(20)]
    assert len(clean_cases(cases, 0)) == 4
    assert clean_cases(cases, 0) == clean_cases(cases[::-1], 0) != clean_cases(cases, 1)


def test_a_data_set_is_corrupted_and_its_truth_kept(tmp_path: Path) -> None:
    raw = tmp_path / "Dataset998_Phantom"
    write_dataset(raw, num_training=5, num_test=0)
    given = {path.name: path.read_bytes() for path in (raw / "labelsTr").iterdir()}
    truth = corrupt_dataset(raw)
    assert {path.name: path.read_bytes() for path in truth.iterdir()} == given
    names = sorted(given)
    column = read_column(raw, "labels", [name.removesuffix(".nii.gz") for name in names])
    assert sorted(column.values()) == ["clean", *["noisy"] * 4]
    for name, value in zip(names, column.values(), strict=True):
        before, after = (sitk.ReadImage(str(folder / name)) for folder in (truth, raw / "labelsTr"))
        assert before.GetSpacing() == after.GetSpacing()
        same = np.array_equal(sitk.GetArrayFromImage(before), sitk.GetArrayFromImage(after))
        assert same is (value == "clean")
    with pytest.raises(OSError, match="labelsTr_truth"):
        corrupt_dataset(raw)
