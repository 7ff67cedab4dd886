"""The adapter for foreign networks: what it pads and crops, where its outputs are, what it says and refuses."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.comparison.padded import Padded, heads_for
from nnunetv2_factorizer.comparison.padding import crop, pad, padded_size, tell
from nnunetv2_factorizer.comparison.transbts import TransBTS
from nnunetv2_factorizer.errors import UserError
from tests.comparison.small import SMALL


class Means(Padded):
    """Its features are means over 1, 2 and 4 voxels an axis, and so are its outputs: nothing is learned."""

    multiple = 8
    has_deep_supervision = True

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        patch_size: list[int],
        strides: list[list[int]],
        deep_supervision: bool = False,
    ) -> None:
        super().__init__(input_channels, patch_size, strides, deep_supervision)
        self.decoder = heads_for(strides, 3, lambda _level: nn.Identity(), deep_supervision)

    def features(self, x: Tensor) -> list[Tensor]:
        assert all(voxels % 8 == 0 for voxels in x.shape[2:])
        return [x, functional.avg_pool3d(x, 2), functional.avg_pool3d(x, 4)]


@pytest.mark.parametrize(
    ("size", "multiple", "lowest_voxels", "expected"),
    [
        ((40, 56, 40), 16, 2, (48, 64, 48)),
        ((40, 56, 40), 32, 2, (64, 64, 64)),
        ((40, 56, 40), 8, 1, (40, 56, 40)),
        ((16, 16, 16), 16, 1, (16, 16, 16)),
        ((16, 9, 16), 16, 2, (16, 16, 32)),
        ((20, 33), 32, 2, (32, 64)),
    ],
)
def test_pads_to_the_smallest_size_that_the_network_takes(
    size: tuple[int, ...], multiple: int, lowest_voxels: int, expected: tuple[int, ...]
) -> None:
    assert padded_size(size, multiple, lowest_voxels) == expected


def test_zeros_are_at_the_far_end_and_are_cut_off_again() -> None:
    x = torch.randn(1, 2, 3, 4)
    padded = pad(x, (4, 8))
    assert torch.equal(padded[..., :3, :4], x)
    assert padded.abs().sum() == x.abs().sum()
    assert torch.equal(crop(padded, (3, 4)), x)


def test_outputs_are_where_nnunet_expects_them() -> None:
    """Halved in other axes, and more often, than the network does."""
    strides = [[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2], [1, 2, 2]]
    network = Means(1, 1, [8, 16, 24], strides, deep_supervision=True)
    x = torch.randn(1, 1, 1, 16, 24).expand(-1, -1, 8, -1, -1)
    full, half, quarter, eighth = network(x)
    assert torch.equal(full, x)
    torch.testing.assert_close(half, functional.avg_pool3d(x, (1, 2, 2)))
    torch.testing.assert_close(quarter, functional.avg_pool3d(x, (2, 4, 4)))
    assert eighth.shape == (1, 1, 2, 2, 3)
    network.decoder.deep_supervision = False
    assert torch.equal(network(x), x)


def test_coarser_outputs_are_cropped_at_their_own_scale() -> None:
    network = Means(1, 1, [12, 20, 12], [[1, 1, 1], [2, 2, 2], [2, 2, 2]], deep_supervision=True)
    x = torch.randn(2, 1, 12, 20, 12)
    full, half = network(x)
    assert torch.equal(full, x)
    torch.testing.assert_close(half, functional.avg_pool3d(x, 2))


def test_says_once_what_padding_costs_and_which_patch_would_avoid_it(capsys: pytest.CaptureFixture[str]) -> None:
    tell.cache_clear()
    for _ in range(2):
        tell("SwinUNETR", (40, 56, 40), (64, 64, 64), 32, 2)
    assert capsys.readouterr().out == (
        "SwinUNETR pads each patch of 40x56x40 voxels with zeros to 64x64x64: 89600 to 262144 voxels, 2.93 times the "
        'work and the memory. Patches of 32x64x32 would need no padding: "patch_size" in a copy of the plans.\n'
    )
    Means(1, 1, [12, 20, 12], [[1] * 3, [2] * 3])
    Means(1, 1, [16, 24, 16], [[1] * 3, [2] * 3])
    assert capsys.readouterr().out.count("12x20x12") == 1
    with torch.device("meta"):  # as a planner does, for many patches
        Means(1, 1, [12, 28, 12], [[1] * 3, [2] * 3])
    assert capsys.readouterr().out == ""


def transbts(patch_size: list[int], **arguments: Any) -> TransBTS:
    return TransBTS(1, 2, patch_size, [[1] * len(patch_size)] * 2, **SMALL["TransBTS Paper"], **arguments)


def test_says_that_there_is_no_deep_supervision(capsys: pytest.CaptureFixture[str]) -> None:
    network = transbts([8, 8, 8], deep_supervision=True)
    assert "TransBTS has no outputs at lower resolutions" in capsys.readouterr().out
    (only,) = network(torch.zeros(1, 1, 8, 8, 8))
    assert only.shape == (1, 2, 8, 8, 8)


def test_two_axes_for_a_network_in_3d() -> None:
    with pytest.raises(UserError, match=r"TransBTS is a network for 3D patches, got 16x16\.\nTrain a 3D configuration"):
        transbts([16, 16])


@pytest.mark.parametrize("patch_size", [[12, 0, 12], [12, 14, 12]])
def test_a_patch_that_no_padding_mends(patch_size: list[int]) -> None:
    with pytest.raises(UserError, match=r"Means cannot take a patch of 12x(.|\n)*The smallest patch is 2x4x2"):
        Means(1, 1, patch_size, [[1, 1, 1], [1, 2, 1], [2, 2, 2], [2, 2, 2]])


def test_strides_of_another_plan() -> None:
    with pytest.raises(UserError, match=r"different numbers of axes\.\nTake both from one configuration"):
        Means(1, 1, [8, 8, 8], [[1, 1], [2, 2]])


def test_another_patch_than_that_of_the_weights() -> None:
    network = transbts([8, 12, 8])
    assert network(torch.zeros(1, 1, 8, 16, 8)).shape == (1, 2, 8, 16, 8)  # is padded to the same
    with pytest.raises(UserError, match=r"made for patches of 8x12x8 voxels, got 8x8x8\.\nPredict and train with"):
        network(torch.zeros(1, 1, 8, 8, 8))
