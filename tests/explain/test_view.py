"""Which slices are shown, and that the right voxels are where they should be in the pictures."""

import numpy as np
import pytest

from nnunetv2_factorizer.explain.view import ATLAS_PIXELS, ATLAS_SLICES, FIGURE_PIXELS, View


def test_slices_go_through_the_largest_structure_of_the_largest_label() -> None:
    segmentation = np.zeros((20, 24, 28), np.uint8)
    segmentation[12:19, 14:20, 3:9] = 2
    segmentation[15, 17, 3:12] = 2  # the slices with most of it are no longer its middle
    segmentation[1:5, 1:5, 20:24] = 2  # smaller
    segmentation[2:11, 20:23, 20:26] = 1  # a smaller label
    view = View.of(segmentation, (1, 1, 1))
    assert view.centre == (15, 17, 3)
    assert view.names == ("z = 15", "y = 17", "x = 3")
    for picture in view.slices(segmentation):
        assert (picture == 2).any()


def test_without_a_structure_the_slices_go_through_the_middle() -> None:
    assert View.of(np.zeros((9, 11, 13), np.uint8), (1, 1, 1)).centre == (4, 5, 6)


def test_a_2d_image_has_one_slice() -> None:
    view = View.of(np.zeros((1, 30, 40), np.uint8), (999, 1, 1))
    volume = np.random.default_rng(0).random((1, 30, 40), np.float32)
    assert view.names == ("z = 0",)
    assert view.atlas_slices == (0,)
    (picture,) = view.slices(volume)
    np.testing.assert_array_equal(picture, volume[0])
    np.testing.assert_array_equal(view.atlas(volume), volume[0])


def test_thick_slices_look_thick() -> None:
    view = View.of(np.zeros((10, 40, 60), np.uint8), (4.0, 0.5, 1.0))
    across_z, across_y, across_x = view.slices(np.zeros((10, 40, 60), np.float32))
    assert across_z.shape == (40, 120)  # 20 x 60 mm
    assert across_y.shape == (80, 120)  # 40 x 60 mm
    assert across_x.shape == (80, 40)  # 40 x 20 mm


def test_pictures_of_large_volumes_are_small_and_keep_their_proportions() -> None:
    shape = (70, 400, 800)
    view = View.of(np.zeros(shape, np.uint8), (1, 1, 1))
    volume = np.zeros(shape, np.float32)
    assert view.slices(volume)[0].shape == (FIGURE_PIXELS // 2, FIGURE_PIXELS)
    assert view.atlas(volume).shape == (ATLAS_PIXELS // 2, ATLAS_SLICES * ATLAS_PIXELS)


@pytest.mark.parametrize("depth", [1, 5, 32, 100])
def test_atlas_holds_the_slices_that_it_names_and_the_centre(depth: int) -> None:
    segmentation = np.zeros((depth, 6, 8), np.uint8)
    segmentation[2 * depth // 3] = 1
    view = View.of(segmentation, (1, 1, 1))
    volume = np.broadcast_to(np.arange(depth, dtype=np.float32)[:, None, None], segmentation.shape)
    shown = view.atlas(volume)[:, ::8]
    assert (shown == np.array(view.atlas_slices)).all()
    assert view.centre[0] in view.atlas_slices
    assert list(view.atlas_slices) == sorted(set(view.atlas_slices))
    assert len(view.atlas_slices) == min(depth, ATLAS_SLICES)


def test_head_face_and_left_are_up_up_and_right() -> None:
    volume = np.zeros((4, 5, 6), np.int16)
    volume[-1, :, :] += 1  # SimpleITK's last slice is the highest,
    volume[:, 0, :] += 2  # its first row the foremost,
    volume[:, :, -1] += 4  # its last column the leftmost.
    for direction, axes in {
        (1, 0, 0, 0, 1, 0, 0, 0, 1): (),
        (-1, 0, 0, 0, -1, 0, 0, 0, 1): (1, 2),
        (1, 0, 0, 0, -1, 0, 0, 0, -1): (0, 1),
    }.items():
        stored = np.flip(volume, axes)
        across_z, across_y, across_x = View.of(np.zeros_like(stored), (1, 1, 1), direction).slices(stored)
        np.testing.assert_array_equal(across_z & 6, volume[0] & 6)
        np.testing.assert_array_equal(across_y & 5, volume[::-1, 2] & 5)
        np.testing.assert_array_equal(across_x & 3, volume[::-1, :, 2] & 3)


def test_labels_keep_their_values() -> None:
    segmentation = np.random.default_rng(0).choice([0, 1, 7, 300], (3, 500, 500)).astype(np.int16)
    for picture in View.of(segmentation, (1, 1, 1)).slices(segmentation):
        assert set(np.unique(picture)) <= {0, 1, 7, 300}


def test_a_picture_averages_where_it_is_smaller_and_repeats_where_it_is_larger() -> None:
    volume = np.random.default_rng(0).random((2, 4, 2 * FIGURE_PIXELS), np.float32)
    across_z = View.of(np.zeros(volume.shape, np.uint8), (1, 1, 1)).slices(volume)[0]
    np.testing.assert_allclose(across_z, volume[1].reshape(2, 2, FIGURE_PIXELS, 2).mean((1, 3)), rtol=1e-5)
    across_y = View.of(np.zeros((2, 4, 6), np.uint8), (2, 1, 1)).slices(volume[:, :, :6])[1]
    np.testing.assert_array_equal(across_y, np.repeat(volume[::-1, 2, :6], 2, axis=0))
