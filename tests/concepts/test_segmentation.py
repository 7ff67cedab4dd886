"""Categories: known answers, the geometry of the image, soft maps, and images that cannot be used."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from nnunetv2_factorizer.concepts import segmentation
from nnunetv2_factorizer.concepts.segmentation import Concepts, segment_case
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.factorization.rows import solve_rows
from nnunetv2_factorizer.inference.image_space import to_image_space
from nnunetv2_factorizer.inference.images import Case
from nnunetv2_factorizer.inference.load_image import load_image
from tests.concepts.regions import STAGE, make_image, make_predictor, write_image
from tests.inference.small_predictor import write_channels

CENTRES = np.eye(16, dtype=np.float32)[:5]
OBLIQUE = {
    "Spacing": (1.5, 0.75, 2.0),
    "Origin": (-10.0, 20.0, 5.5),
    "Direction": (0.0, -1.0, 0.0, 0.8, 0.0, -0.6, 0.6, 0.0, 0.8),
}


def segment(case: Case, output: Path, concepts: Concepts, dimensions: int = 3, **options: Any) -> dict[int, int]:
    predictor = make_predictor("PlainConvUNet", dimensions)
    return segment_case(case, load=lambda: predictor, concepts=concepts, output=output, **options)


def read(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("mode", ["fixed", "assign"])
def test_geometry_of_an_oblique_image(tmp_path: Path, mode: str, dimensions: int) -> None:
    case = write_image(tmp_path, 0, (20, 30, 17), **OBLIQUE)
    output = tmp_path / "out"
    output.mkdir()
    voxels = segment(case, output, Concepts(STAGE, CENTRES, mode), dimensions, soft=True)
    original = sitk.ReadImage(case.images[0])
    for path in (output / "case_0.mha", output / "soft" / "case_0_005.nii.gz"):
        written = sitk.ReadImage(str(path))
        for what in ("Size", "Spacing", "Origin", "Direction"):
            np.testing.assert_allclose(getattr(written, f"Get{what}")(), getattr(original, f"Get{what}")(), atol=1e-5)
    categories = read(output / "case_0.mha")
    values, counts = np.unique(categories, return_counts=True)
    assert voxels == dict(zip(values.tolist(), counts.tolist(), strict=True))
    assert len(voxels) > 2
    soft = np.stack([read(output / "soft" / f"case_0_{c:03d}.nii.gz") for c in range(1, 6)])
    np.testing.assert_array_equal(categories, np.where(soft.max(0) > 0, 1 + soft.argmax(0), 0))
    assert sorted(path.name for path in output.iterdir()) == ["case_0.mha", "soft"]


@pytest.mark.parametrize("mode", ["fixed", "assign"])
def test_categories_in_groups_change_nothing_and_need_no_more_room(
    tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = write_image(tmp_path, 0, (8, 24, 20))
    centres = np.random.default_rng(0).random((7, 16), np.float32)
    room: dict[str, list[int]] = {}

    def watched(image_map: np.ndarray, *others: Any) -> np.ndarray:
        room[name].append(sum(file.stat().st_size for file in (tmp_path / name).glob(".concepts_*/*.float32")))
        return to_image_space(image_map, *others)

    monkeypatch.setattr(segmentation, "to_image_space", watched)
    for name, group, k in (("at once", 64, 7), ("in groups", 3, 7), ("fewer", 3, 3)):
        monkeypatch.setattr(segmentation, "GROUP", group)
        (tmp_path / name).mkdir()
        room[name] = []
        voxels = segment(case, tmp_path / name, Concepts(STAGE, centres[:k], mode), soft=k == 7)
        assert len(voxels) > 1
    written = sorted(path.relative_to(tmp_path / "at once") for path in (tmp_path / "at once").rglob("*.*"))
    assert len(written) == 1 + 7
    for path in written:
        np.testing.assert_array_equal(read(tmp_path / "at once" / path), read(tmp_path / "in groups" / path))
    assert max(room["in groups"]) == max(room["fewer"]) > 0
    assert 3 * max(room["at once"]) == 7 * max(room["fewer"])


def test_fixed_weights_are_those_of_the_features() -> None:
    centres = np.random.default_rng(0).random((4, 16), np.float32)
    output = torch.randn(1, 16, 6, 6, 6)
    weights = Concepts(STAGE, centres).tap(torch.empty(0), output)
    expected = solve_rows(torch.relu(output)[0].flatten(1).T, torch.from_numpy(centres).T)
    torch.testing.assert_close(weights[0].flatten(1).T, expected)


def test_assignment_of_concepts_that_are_known() -> None:
    """Two halves with features along two centres, of other lengths: an NMF with two components finds them."""
    output = torch.zeros(1, 16, 4, 4, 4)
    output[0, 3, :2], output[0, 1, 2:] = 7, 3
    output[0, :, 0, 0, 0] = -1
    votes = Concepts(STAGE, CENTRES, "assign", components=2).tap(torch.empty(0), output)
    expected = torch.zeros(1, 5, 4, 4, 4)
    expected[0, 3, :2], expected[0, 1, 2:] = 1, 1
    expected[0, :, 0, 0, 0] = 0
    torch.testing.assert_close(votes, expected)


def test_assignment_is_in_full_precision_under_autocast() -> None:
    """Centres whose cosines differ by less than half precision can tell."""
    output = torch.zeros(1, 16, 4, 4, 4)
    output[0, 0] = 1
    centres = np.zeros((2, 16), np.float32)
    centres[:, 0], centres[0, 1] = 1, 0.02
    with torch.autocast("cpu", torch.bfloat16):
        votes = Concepts(STAGE, centres, "assign", components=1).tap(torch.empty(0), output)
    assert (votes[0, 1] == 1).all()


def test_a_segmentation_that_is_there_is_counted(tmp_path: Path) -> None:
    case = write_image(tmp_path, 0)
    concepts = Concepts(STAGE, CENTRES)
    counted = segment(case, tmp_path, concepts)
    before = (tmp_path / "case_0.mha").stat()
    assert segment(case, tmp_path, concepts) == counted
    after = (tmp_path / "case_0.mha").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)  # reading it is allowed


def test_mirroring_is_undone(tmp_path: Path) -> None:
    """What a network makes of an image and of its mirror image together is the same for both."""
    predictor = make_predictor("PlainConvUNet", 3)
    predictor.use_mirroring = True
    image = make_image(0)[0]
    categories = []
    for name, channels in (("image", image), ("mirrored", image[..., ::-1].copy())):
        case = Case(name, tuple(write_channels(tmp_path, *channels, name=name, ending=".mha")))
        segment_case(case, load=lambda: predictor, concepts=Concepts(STAGE, CENTRES), output=tmp_path)
        categories.append(read(tmp_path / f"{name}.mha"))
    assert (categories[0] == categories[1][..., ::-1]).mean() > 0.999


def test_second_stage_of_a_cascade(tmp_path: Path) -> None:
    predictor = make_predictor("PlainConvUNet", 3)
    predictor.configuration_manager.configuration["previous_stage"] = "3d_lowres"
    with pytest.raises(UserError, match=r"^this model is the second stage .*\nGive a model of 3d_lowres"):
        load_image(predictor, write_image(tmp_path, 0))


def test_cropped_voxels_have_no_category(tmp_path: Path) -> None:
    image = make_image(0)[0]
    image[:, :5] = 0
    case = Case("case", tuple(write_channels(tmp_path, *image, ending=".mha")))
    segment(case, tmp_path, Concepts(STAGE, np.ones((2, 16), np.float32)))
    categories = read(tmp_path / "case.mha")
    assert (categories[:5] == 0).all()
    assert (categories[5:] > 0).any()


def test_dictionary_of_another_stage(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^the stage has 8 channels, .* one with 16\.\nMake a dictionary"):
        segment(write_image(tmp_path, 0), tmp_path, Concepts("encoder.stages.0", CENTRES))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["case_0_0000.mha", "case_0_0001.mha"]


def test_more_categories_than_the_writer_has_numbers(tmp_path: Path) -> None:
    predictor = make_predictor("PlainConvUNet", 3)
    predictor.plans_manager.plans["image_reader_writer"] = "SimpleITKIOWithReorient"
    concepts = Concepts(STAGE, np.ones((256, 16), np.float32))
    with pytest.raises(UserError, match=r"numbers up to 255, the dictionary has 256 categories\.\nMake"):
        segment_case(write_image(tmp_path, 0), load=lambda: predictor, concepts=concepts, output=tmp_path)


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        (np.zeros((2, 8, 8, 8)), r"^case is constant, 0 everywhere.*\nLook at the image"),
        (np.full((2, 8, 8, 8), 7.0), r"^case is constant, 7 everywhere"),
        (np.full((2, 8, 8, 8), np.nan), r"^case has NaN or infinite voxels\.\nRepair"),
        (
            np.ones((1, 8, 8, 8)),
            r"^case has 1 channels, the model was trained with 2: .*1\.\nGive",
        ),
        (np.ones((3, 8, 8, 8)), r"^case has 3 channels, the model was trained with 2"),
    ],
)
def test_images_that_cannot_be_used(tmp_path: Path, channels: np.ndarray, message: str) -> None:
    case = Case("case", tuple(write_channels(tmp_path, *channels.astype(np.float32), ending=".mha")))
    with pytest.raises(UserError, match=message):
        segment(case, tmp_path, Concepts(STAGE, CENTRES))
    assert not (tmp_path / "case.mha").exists()


def test_a_data_set_of_nnunet_v1_names_its_channels_modality(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor, case = make_predictor("PlainConvUNet", 3), write_image(tmp_path, 0)
    expected = load_image(predictor, case).data
    legacy = dict(predictor.dataset_json)
    legacy["modality"] = legacy.pop("channel_names")
    monkeypatch.setattr(predictor, "dataset_json", legacy)
    assert torch.equal(load_image(predictor, case).data, expected)
