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

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.stitching import stitching
from tests.inference.small_predictor import small_predictor

STEM = "encoder.stem"


def first_channel(x: Tensor, output: Tensor) -> Tensor:
    """What the network sees of the image, and twice that."""
    return torch.cat([x[:, :1], 2 * x[:, :1]], dim=1)


def stitch(predictor: Any, data: Tensor, folder: Path, layer: str = STEM) -> tuple[Tensor, list[Any]]:
    with stitching(predictor, {layer: first_channel}, folder) as stitched:
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
    flat = {"conv_op": "torch.nn.modules.conv.Conv2d", "strides": [[1, 1], [2, 2], [2, 2]]}
    predictor = small_predictor(patch=(16, 16), **flat)
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
        with pytest.raises(UserError, match=os.strerror(errno.EFBIG)):
            stitch(small_predictor(), torch.randn(2, 8, 32, 16), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_without_room_is_noticed_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=r"^2 maps of this image need 0\.0 GiB .*\nMake room, or give"):
        stitch(small_predictor(), torch.randn(2, 8, 16, 16), tmp_path)
    assert not list(tmp_path.iterdir())
