"""Maps of tiles become maps of the image, and nnU-Net's prediction stays what it is."""

import errno
import os
import resource
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.stitching import Tap, stitching
from tests.inference.full_resolution import stitch_at_full_resolution
from tests.inference.small_predictor import small_predictor

STEM = "encoder.stem"
FLAT = {"conv_op": "torch.nn.modules.conv.Conv2d", "strides": [[1, 1], [2, 2], [2, 2]]}


def first_channel(x: Tensor, output: Tensor) -> Tensor:
    """What the network sees of the image, and twice that."""
    return torch.cat([x[:, :1], 2 * x[:, :1]], dim=1)


def pooled(*strides: int) -> Tap:
    """What the network sees of the image, as a stage with these strides would have it."""
    pool = {2: functional.avg_pool2d, 3: functional.avg_pool3d}[len(strides)]
    return lambda x, output: pool(x[:, :1], strides)


def waves(size: tuple[int, ...], wavelength: float) -> Tensor:
    """An image of two channels from 0 to 6, a wave along each axis."""
    axes = [1 + torch.sin(torch.arange(s) * (2 * np.pi / wavelength) + axis) for axis, s in enumerate(size)]
    return sum(torch.meshgrid(*axes, indexing="ij")).expand(2, *size)


def stitch(predictor: Any, data: Tensor, folder: Path, tap: Tap = first_channel) -> tuple[Tensor, list[Any]]:
    with stitching(predictor, {STEM: tap}, folder) as stitched:
        logits = stitched.predictor.predict_logits_from_preprocessed_data(data)
    return logits, stitched.maps


@pytest.mark.parametrize("mirroring", [False, True])
@pytest.mark.parametrize("size", [(8, 16, 16), (11, 37, 16), (5, 20, 9)])
def test_tiles_make_the_image_again(tmp_path: Path, size: tuple[int, ...], mirroring: bool) -> None:
    predictor = small_predictor(mirroring=mirroring)
    data = torch.randn(2, *size)
    logits, (maps,) = stitch(predictor, data, tmp_path)
    np.testing.assert_allclose(maps[0], data[0], atol=1e-5)
    np.testing.assert_allclose(maps[1], 2 * data[0], atol=1e-5)
    with pytest.raises(IndexError):
        maps[2]
    assert torch.equal(logits, predictor.predict_logits_from_preprocessed_data(data))


def test_without_gaussian_weights(tmp_path: Path) -> None:
    predictor = small_predictor()
    predictor.use_gaussian = False
    data = torch.randn(2, 8, 24, 24)
    _, (maps,) = stitch(predictor, data, tmp_path)
    np.testing.assert_allclose(maps[0], data[0], atol=1e-5)


def test_a_network_in_2d_sees_slices(tmp_path: Path) -> None:
    predictor = small_predictor(patch=(16, 16), **FLAT)
    data = torch.randn(2, 3, 20, 16)
    logits, (maps,) = stitch(predictor, data, tmp_path)
    np.testing.assert_allclose(maps[0], data[0], atol=1e-5)
    assert torch.equal(logits, predictor.predict_logits_from_preprocessed_data(data))


def test_every_fold_has_maps_of_its_own(tmp_path: Path) -> None:
    predictor = small_predictor(folds=2)
    data = torch.randn(2, 8, 24, 16)

    def output(x: Tensor, output: Tensor) -> Tensor:
        return output[:, :1]

    with stitching(predictor, {"encoder.stages.0": output}, tmp_path) as stitched:
        logits = stitched.predictor.predict_logits_from_preprocessed_data(data)
    assert [maps.fold for maps in stitched.maps] == [0, 1]
    assert not np.allclose(stitched.maps[0][0], stitched.maps[1][0])
    assert torch.equal(logits, predictor.predict_logits_from_preprocessed_data(data))


def test_maps_of_a_lower_resolution_are_interpolated(tmp_path: Path) -> None:
    predictor = small_predictor()

    def ramp(x: Tensor, output: Tensor) -> Tensor:
        return torch.arange(output.shape[-1], dtype=torch.float32).expand(1, 1, *output.shape[2:])

    with stitching(predictor, {"encoder.stages.2": ramp}, tmp_path) as stitched:
        stitched.predictor.predict_logits_from_preprocessed_data(torch.randn(2, 8, 16, 16))
    # Four voxels of the patch a voxel of the stage; the centre of its voxel i is at 4 i + 1.5.
    np.testing.assert_allclose(stitched.maps[0][0][3, 5, 2:14], (np.arange(2, 14) - 1.5) / 4, atol=1e-5)


@pytest.mark.parametrize("gaussian", [False, True])
@pytest.mark.parametrize("size", [(8, 16, 16), (11, 37, 16), (5, 20, 9)])
def test_maps_at_the_resolution_of_the_image_are_stitched_exactly(
    tmp_path: Path, size: tuple[int, ...], gaussian: bool
) -> None:
    predictor = small_predictor()
    predictor.use_gaussian = gaussian
    data = torch.randn(2, *size)
    _, (maps,) = stitch(predictor, data, tmp_path)
    expected = stitch_at_full_resolution(predictor, data, STEM, first_channel)
    np.testing.assert_array_equal(np.stack([maps[0], maps[1]]), expected)


@pytest.mark.parametrize("gaussian", [False, True])
@pytest.mark.parametrize("strides", [(1, 2, 2), (2, 4, 4), (2, 1, 4)])
@pytest.mark.parametrize("size", [(11, 37, 25), (6, 23, 41)])
def test_a_smooth_map_of_a_stage_is_that_of_full_resolution(
    tmp_path: Path, size: tuple[int, ...], strides: tuple[int, ...], gaussian: bool
) -> None:
    """Within 4 % of its range where a wave has 16 cells.

    Moved by half a cell, such a wave loses 2 %; where a tile ends between cells, its last value is taken for the cell.
    """
    predictor = small_predictor()
    predictor.use_gaussian = gaussian
    data = waves(size, 16 * max(strides))
    _, (maps,) = stitch(predictor, data, tmp_path, pooled(*strides))
    (expected,) = stitch_at_full_resolution(predictor, data, STEM, pooled(*strides))
    assert maps[0].shape == size
    assert 0 < np.abs(maps[0] - expected).max() < 0.04 * np.ptp(expected)


@pytest.mark.parametrize("size", [(11, 37, 18), (5, 20, 9)])
def test_a_constant_map_of_a_stage_stays_constant(tmp_path: Path, size: tuple[int, ...]) -> None:
    def constant(x: Tensor, output: Tensor) -> Tensor:
        return torch.full((1, 2, 4, 2, 4), 7.1)

    _, (maps,) = stitch(small_predictor(mirroring=True), torch.randn(2, *size), tmp_path, constant)
    for index in range(2):
        np.testing.assert_allclose(maps[index], np.full(size, 7.1), rtol=1e-6)


def test_mirrored_maps_of_a_stage_are_mirrored_back(tmp_path: Path) -> None:
    data = torch.randn(2, 11, 37, 18)
    mirrored, plain = (
        stitch(small_predictor(mirroring=mirroring), data, tmp_path, pooled(2, 4, 4))[1][0][0]
        for mirroring in (True, False)
    )
    np.testing.assert_allclose(mirrored, plain, atol=1e-5)


def test_a_stage_of_a_network_in_2d(tmp_path: Path) -> None:
    predictor = small_predictor(patch=(16, 16), **FLAT)
    data = waves((3, 37, 14), 64)
    _, (maps,) = stitch(predictor, data, tmp_path, pooled(4, 2))
    (expected,) = stitch_at_full_resolution(predictor, data, STEM, pooled(4, 2))
    assert maps.strides == (1, 4, 2)
    np.testing.assert_allclose(maps[0], expected, atol=0.03 * np.ptp(expected))


def test_a_stage_whose_voxels_do_not_fit_into_the_patch(tmp_path: Path) -> None:
    """It is interpolated to the patch, along the axis where this is so."""

    def three(x: Tensor, output: Tensor) -> Tensor:
        return x[:, :1, :, :, 2:5]

    predictor, data = small_predictor(), torch.randn(2, 8, 20, 25)
    _, (maps,) = stitch(predictor, data, tmp_path, three)
    np.testing.assert_array_equal(maps[0], stitch_at_full_resolution(predictor, data, STEM, three)[0])


def test_files_are_as_small_as_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The image is padded to 11 x 37 x 16 voxels, which are 6 x 10 x 4 cells; and no more room is asked for."""
    needed = 2 * 6 * 10 * 4 * 4
    predictor, data = small_predictor(), torch.randn(2, 11, 37, 15)

    def two(x: Tensor, output: Tensor) -> Tensor:
        return functional.avg_pool3d(first_channel(x, output), (2, 4, 4))

    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=needed))
    _, (maps,) = stitch(predictor, data, tmp_path, two)
    assert maps[1].shape == (11, 37, 15)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) == needed
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=needed - 1))
    with pytest.raises(UserError, match=r"^2 maps of this image need"):
        stitch(predictor, data, tmp_path, two)


def test_layers_of_several_resolutions_at_once(tmp_path: Path) -> None:
    predictor, data = small_predictor(folds=2), torch.randn(2, 8, 25, 21)

    def output(x: Tensor, output: Tensor) -> Tensor:
        return output[:, :2]

    names = ["encoder.stages.0", "encoder.stages.2", "decoder.stages.0", "decoder.stages.1"]
    maps_of = []
    for layers in (names, names[1:2]):
        folder = tmp_path / str(len(layers))
        folder.mkdir()
        with stitching(predictor, dict.fromkeys(layers, output), folder) as stitched:
            stitched.predictor.predict_logits_from_preprocessed_data(data)
        maps_of.append({(maps.layer, maps.fold): maps for maps in stitched.maps})
    together, alone = maps_of
    assert {maps.strides for maps in together.values()} == {(1, 1, 1), (1, 2, 2), (2, 4, 4)}
    assert list(together) == [(name, fold) for fold in range(2) for name in names]
    for key, maps in alone.items():
        np.testing.assert_array_equal(together[key][1], maps[1])


def test_beginning_again_on_the_cpu_forgets_the_first_attempt(tmp_path: Path) -> None:
    """nnU-Net repeats the sliding window with results on the CPU when a GPU's memory is full."""
    predictor = small_predictor()
    predictor.perform_everything_on_device = True
    data = torch.randn(2, 8, 32, 16)
    calls = []

    def full_once(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("CUDA out of memory")

    predictor.network.register_forward_pre_hook(full_once)
    _, (maps,) = stitch(predictor, data, tmp_path)
    assert len(calls) > 3
    np.testing.assert_allclose(maps[0], data[0], atol=1e-5)


def test_hooks_are_gone_afterwards(tmp_path: Path) -> None:
    predictor = small_predictor()
    stitch(predictor, torch.randn(2, 8, 16, 16), tmp_path)
    for module in predictor.network.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_a_full_disk_is_an_error_not_a_crash(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            stitch(small_predictor(), torch.randn(2, 8, 32, 16), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_without_room_is_noticed_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=r"^2 maps of this image need 0\.0 GiB .*\nMake room, or give"):
        stitch(small_predictor(), torch.randn(2, 8, 16, 16), tmp_path)
    assert not list(tmp_path.iterdir())
