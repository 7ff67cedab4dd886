"""The networks against plain formulations: efficient attention, head factors, the coarse branch, the tokens."""

import math

import torch
from torch.nn import functional

from nnunetv2_factorizer.factorization.solvers import SOLVERS
from nnunetv2_factorizer.segment.methods import dfc, factorizer
from nnunetv2_factorizer.segment.methods.factorizer import BlockWithContext, head_contexts
from nnunetv2_factorizer.segment.methods.msformer import EfficientBlock
from nnunetv2_factorizer.segment.two_scales import TwoScales


def test_efficient_block() -> None:
    """Written with the matrix of all pairs of pixels, which the block never makes."""
    torch.manual_seed(0)
    block, z = EfficientBlock(6), torch.randn(1, 6, 4, 5)
    out, context = block(z)
    pixels = z[0].flatten(1).T
    query, key, value = block.query_key_value.weight.chunk(3)
    biases = block.query_key_value.bias.chunk(3)
    normed = functional.layer_norm(pixels, (6,))
    q, k, v = (normed @ w.T + b for w, b in zip((query, key, value), biases, strict=True))
    pairs = q.softmax(1) @ k.softmax(0).T
    y = pixels + (pairs @ v) @ block.out.weight.T + block.out.bias
    h = functional.layer_norm(y, (6,)) @ block.widen.weight.T + block.widen.bias
    image = h.T.unflatten(1, (4, 5))[None]
    mixed = (image + functional.conv2d(image, block.mix.weight, block.mix.bias, padding=1, groups=24))[0].flatten(1).T
    expected = y + functional.gelu(functional.layer_norm(mixed, (24,))) @ block.narrow.weight.T + block.narrow.bias
    torch.testing.assert_close(out[0].flatten(1).T, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(context[0], k.softmax(0).T @ v, rtol=1e-4, atol=1e-5)


def test_head_contexts_are_the_factors_of_the_plain_iteration() -> None:
    torch.manual_seed(0)
    block, x = BlockWithContext(16).block, torch.randn(1, 16, 11, 16)  # windows overhang
    mixer = block.mixer
    matrices = mixer.matricize(torch.relu(x))
    u, _ = SOLVERS["hals"](matrices, mixer.nmf.u0, mixer.nmf.v0, mixer.nmf.num_iters)
    u = functional.normalize(u[..., 0], dim=-1)
    expected = torch.stack([torch.stack([torch.outer(w, w) for w in u[0, :, head]]).mean(0) for head in range(2)])
    torch.testing.assert_close(head_contexts(mixer(x)), expected, rtol=1e-4, atol=1e-5)


def test_context_of_the_factorizer_has_a_gradient() -> None:
    torch.manual_seed(0)
    block = BlockWithContext(16)
    block(torch.randn(1, 16, 8, 9))[1].square().sum().backward()
    assert block.block.mixer.in_proj.weight.grad.abs().sum() > 0


def test_the_coarse_branch_is_brought_to_the_image() -> None:
    torch.manual_seed(0)
    network = TwoScales(EfficientBlock, 8, (3, 13, 10))
    small, large = (branch(torch.randn(1, 3, 13, 10))[0] for branch in network.branches)
    finer = functional.pixel_shuffle(network.expand(large), 2)  # no checkerboard where nothing was learned yet
    torch.testing.assert_close(finer, finer[:, :, ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert finer.std((2, 3)).min() > 0
    assert small.shape == (1, 8, 13, 10)
    assert large.shape == (1, 8, 7, 5)
    scores, (first, second) = network(torch.randn(1, 3, 13, 10))
    assert scores.shape == (1, 8, 13, 10)
    assert first.shape == second.shape == (1, 8, 8)


def test_tokens_are_of_the_image_and_of_the_image_moved_by_a_pixel() -> None:
    network = TwoScales(EfficientBlock, 4, (1, 257, 300))
    assert network.project.kernel_size == (32, 32)  # as in the paper's code, which has 257 x 257 pixels
    network.norm.eval()
    scores = torch.randn(1, 4, 257, 300)
    first, second = network.tokens(scores)
    assert first.shape == second.shape == (64, 4)
    moved = torch.zeros_like(scores)
    moved[..., :-1, :-1] = scores[..., 1:, 1:]
    torch.testing.assert_close(network.tokens(moved)[1], first)
    assert TwoScales(EfficientBlock, 4, (1, 5, 24)).tokens(torch.randn(1, 4, 5, 24))[0].shape == (64, 4)


def test_all_parameters_learn() -> None:
    """Of DFC and of the Factorizer; one that no loss reaches would be a mistake in the wiring."""
    for method in (dfc, factorizer):
        torch.manual_seed(0)
        network, step = method.make((2, 12, 12))
        scores, others = step(torch.randn(1, 2, 12, 12))
        (functional.cross_entropy(scores, scores.argmax(1)) + others).backward()
        reached = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.isfinite().all()}
        assert reached == {name for name, _ in network.named_parameters()}
        assert math.isfinite(others.item())
