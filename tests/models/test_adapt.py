"""Weights move to other patches and other image channels."""

import io
from typing import Any

import pytest
import torch
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
from torch import nn

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.models.adapt import adapt_weights
from nnunetv2_factorizer.network import Factorizer


def build(variant: str, patch: list[int], channels: int = 2, classes: int = 3, **changes: Any) -> Factorizer:
    conv = nn.Conv2d if len(patch) == 2 else nn.Conv3d
    arguments = {"head_dim": 4, "window_size": 4, **FACTORIZER.variants[variant], **changes}
    return Factorizer(channels, classes, 3, [8, 16, 16], conv, [1, 2, 2], patch_size=patch, **arguments)


def load_as_nnunet_does(source: nn.Module, target: nn.Module) -> None:
    """By `-pretrained_weights`."""
    file = io.BytesIO()
    torch.save({"network_weights": source.state_dict()}, file)
    file.seek(0)
    load_pretrained_weights(target, file)


def randomise_position(network: Factorizer) -> None:
    """A new embedding is zero, and wrong ones would not show. The Hybrid Factorizer has none."""
    if network.encoder.position_embedding is not None:
        nn.init.normal_(network.encoder.position_embedding.embedding)


@pytest.mark.parametrize("variant", ["Conv", "Hybrid"])
@pytest.mark.parametrize("patches", [([16, 16], [24, 40]), ([16, 16, 16], [8, 24, 32])])
def test_ours_move_between_patches_by_nnunet_itself(variant: str, patches: tuple[list[int], list[int]]) -> None:
    source, target = (build(variant, patch, classes=c) for patch, c in zip(patches, (3, 5), strict=True))
    randomise_position(source)
    load_as_nnunet_does(source, target)
    x = torch.randn(1, 2, *patches[1])
    for ours, theirs in zip(target.encoder(x), source.encoder(x), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("variant", ["Swin", "Local", "Global"])
def test_those_of_the_paper_keep_the_size_of_their_patch(variant: str) -> None:
    source, target = build(variant, [16, 16, 16]), build(variant, [8, 24, 32])
    with pytest.raises(AssertionError, match=r"position_embedding|nmf\.v0"):
        load_as_nnunet_does(source, target)


@pytest.mark.parametrize("variant", FACTORIZER.variants)
@pytest.mark.parametrize("patches", [([16, 16], [24, 40]), ([16, 16, 16], [8, 24, 32])])
def test_adapted_weights_compute_what_the_source_computes_there(
    variant: str, patches: tuple[list[int], list[int]]
) -> None:
    """At another size than its patch, the source interpolates position embedding and initial factors itself."""
    source, target = (build(variant, patch, classes=c) for patch, c in zip(patches, (3, 5), strict=True))
    randomise_position(source)
    heads = [head.weight.clone() for head in target.decoder.seg_layers]
    target.load_state_dict(adapt_weights(source.state_dict(), source, target))
    x = torch.randn(1, 2, *patches[1])
    for ours, theirs in zip(target.encoder(x), source.encoder(x), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert all(torch.equal(head.weight, h) for head, h in zip(target.decoder.seg_layers, heads, strict=True))


@pytest.mark.parametrize("channels", [1, 5])
def test_equal_channels_are_seen_as_before(channels: int) -> None:
    source, target = build("Conv", [16, 16, 16]), build("Conv", [16, 16, 16], channels)
    target.load_state_dict(adapt_weights(source.state_dict(), source, target))
    x = torch.randn(1, 1, 16, 16, 16)
    for ours, theirs in zip(
        target.encoder(x.expand(-1, channels, -1, -1, -1)), source.encoder(x.expand(-1, 2, -1, -1, -1)), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_nothing_else_is_adapted() -> None:
    source = build("Conv", [16, 16, 16])
    for changes in ({"mlp_ratio": 3}, {"window_size": 2}):
        with pytest.raises(UserError, match=r"cannot be adapted to this network: .* is of shape"):
            adapt_weights(source.state_dict(), source, build("Conv", [16, 16, 16], **changes))
