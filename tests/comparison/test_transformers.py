"""The layers of nnFormer and TransBTS against plain formulations."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from nnunetv2_factorizer.comparison.transbts import TransformerLayer
from nnunetv2_factorizer.comparison.volume_attention import VolumeAttention


def plain(attention: VolumeAttention, x: Tensor, queries: Tensor | None) -> Tensor:
    """One token after the other, over all tokens that it may see: `(C, *grid)` to the same."""
    grid, volume, shift = attention.grid, attention.volume, attention.shift
    places = list(product(*map(range, grid)))
    projected = {p: attention.project(x[:, p[0], p[1], p[2]]) for p in places}
    head = x.shape[0] // attention.num_heads
    result = torch.empty_like(x)

    def cell(p: tuple[int, ...]) -> list[tuple[bool, int]]:
        return [
            (a < s, (a - s) % g // v) for a, s, g, v in zip(p, shift, grid, volume, strict=True)
        ]  # a < s: came in from the other side

    for p in places:
        q = projected[p][: len(x)] if queries is None else queries[:, p[0], p[1], p[2]]
        seen = [o for o in places if cell(o) == cell(p)]
        keys, values = (
            torch.stack([projected[o].chunk(3 if queries is None else 2)[i] for o in seen]) for i in (-2, -1)
        )
        parts = []
        for h in range(attention.num_heads):
            part = slice(h * head, (h + 1) * head)
            scores = keys[:, part] @ q[part] / head**0.5
            for i, o in enumerate(seen):
                index = 0
                for a, b, v in zip(p, o, volume, strict=True):
                    index = index * (2 * v - 1) + a - b + v - 1
                scores[i] = scores[i] + attention.bias[h, index]
            parts.append(scores.softmax(0) @ values[:, part])
        result[:, p[0], p[1], p[2]] = attention.out(torch.cat(parts))
    return result


@pytest.mark.parametrize(
    ("volume", "shifted", "skip"),
    [((2, 2, 2), False, False), ((2, 2, 2), True, False), ((2, 2, 2), False, True), ((4, 2, 4), False, False)],
    ids=["local", "shifted", "skip", "global"],
)
@torch.no_grad()
def test_attention_in_volumes(volume: tuple[int, int, int], shifted: bool, skip: bool) -> None:
    torch.manual_seed(0)
    attention = VolumeAttention(4, 2, (4, 2, 4), volume, shifted, skip)
    attention.bias.normal_()
    assert any(attention.shift) is shifted
    x, queries = torch.randn(2, 4, 4, 2, 4), torch.randn(2, 4, 4, 2, 4) if skip else None
    result = attention(x, queries)
    for i in range(2):
        torch.testing.assert_close(result[i], plain(attention, x[i], None if queries is None else queries[i]))


@torch.no_grad()
def test_transbts_layer_is_pytorchs() -> None:
    ours = TransformerLayer(8, 12, 2)
    theirs = nn.TransformerEncoderLayer(8, 2, 12, 0.0, nn.functional.gelu, batch_first=True, norm_first=True)
    theirs.self_attn.in_proj_weight.copy_(ours.qkv.weight)
    theirs.self_attn.in_proj_bias.zero_()
    theirs.self_attn.out_proj.load_state_dict(ours.out.state_dict())
    for name, layer in {"linear1": ours.mlp[0], "linear2": ours.mlp[2]}.items():
        getattr(theirs, name).load_state_dict(layer.state_dict())
    x = torch.randn(2, 5, 8)
    torch.testing.assert_close(ours(x), theirs(x))
