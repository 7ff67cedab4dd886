"""The losses against their formulas written out, pixel by pixel and token by token."""

import math

import torch

from nnunetv2_factorizer.segment.losses import (
    continuity_loss,
    inter_scale_loss,
    intra_scale_loss,
    pseudo_label_loss,
)

SCORES = torch.randn(1, 3, 4, 5, generator=torch.Generator().manual_seed(0))


def test_pseudo_labels() -> None:
    terms = []
    for pixel in SCORES[0].flatten(1).T.tolist():
        terms.append(math.log(sum(map(math.exp, pixel))) - max(pixel))
    assert math.isclose(pseudo_label_loss(SCORES, SCORES.argmax(1)).item(), sum(terms) / len(terms), rel_tol=1e-5)


def test_continuity() -> None:
    down = [abs(SCORES[0, k, i + 1, j] - SCORES[0, k, i, j]) for k in range(3) for i in range(3) for j in range(5)]
    right = [abs(SCORES[0, k, i, j + 1] - SCORES[0, k, i, j]) for k in range(3) for i in range(4) for j in range(4)]
    torch.testing.assert_close(continuity_loss(SCORES), sum(down) / len(down) + sum(right) / len(right))


def test_inter_scale_goes_row_by_row() -> None:
    small, large = torch.randn(2, 2, 4, 6, generator=torch.Generator().manual_seed(1))
    cosines = []
    for a, b in zip(small.flatten(0, -2), large.flatten(0, -2), strict=True):
        cosines.append(sum(x * y for x, y in zip(a, b, strict=True)) / (sum(a * a).sqrt() * sum(b * b).sqrt()))
    torch.testing.assert_close(inter_scale_loss(small, large), 1 - sum(cosines) / len(cosines))
    assert inter_scale_loss(small, 3 * small).abs() < 1e-6


def test_intra_scale_is_the_correlation_of_all_tokens() -> None:
    first, second = torch.randn(2, 9, 5, generator=torch.Generator().manual_seed(2)).tolist()
    total = 0.0
    for i, a in enumerate(first):
        likeness = [math.exp(sum(x * y for x, y in zip(a, b, strict=True)) / 3) for b in second]  # 3 = sqrt(9)
        total += sum(abs(value / sum(likeness) - (i == j)) for j, value in enumerate(likeness))
    assert math.isclose(intra_scale_loss(torch.tensor(first), torch.tensor(second)).item(), total / 81, rel_tol=1e-5)
    apart = 100 * torch.eye(9)
    assert intra_scale_loss(apart, apart) < 1e-6
