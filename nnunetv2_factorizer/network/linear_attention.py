"""Linear attention: softmax attention without the matrix of all pairs of tokens, and two ways to its features.

Of `N` tokens, queries and keys are given as logits of `M` features, values have `E` numbers:

    G = rho_k(K)^T V                 (M x E, a softmax over the tokens)
    output = rho_q(Q) G              (a softmax over the features)

This takes O(N M E) steps where the N x N matrix takes O(N^2 E). The logits say which attention it is:

- *Efficient attention* (Shen et al., "Efficient attention: attention with linear complexities", WACV 2021, section 3):
  the logits are queries and keys themselves, `M = E`. `linear_attention(query, key, value)`.
- *FAVOR+* (Choromanski et al., "Rethinking attention with Performers", ICLR 2021, sections 2.2 to 2.4), which
  approximates softmax attention by positive random features, `favor_attention`. With rows `w_f` of the features,
  `phi_f(x) = exp(w_f . x - |x|^2 / 2) / sqrt(M)` and queries and keys divided by `E^(1/4)`, the paper computes

      phi(Q) (phi(K)^T V) / (phi(Q) (phi(K)^T 1)).

  That is a linear attention as above. Write `c_nf = w_f . k_n - |k_n|^2 / 2` and `b_f = log sum_n exp(c_nf)`. Then
  `phi(K)^T V` is `exp(b_f) G_f` with the logits `c` of the keys, and what is left of the quotient is a softmax over
  `f` of `w_f . q_n + b_f`: `|q|^2` and `sqrt(M)` cancel.

Ours: this form of FAVOR+. It has no exponential that overflows and no quotient of two numbers that underflow, so it
needs neither the maxima that the authors' code subtracts nor the small number that it adds to each feature, which
biases the result. The features are drawn once; the paper draws them anew from time to time.
"""

import torch
from torch import Tensor

from nnunetv2_factorizer.factorization.precision import full_precision, without_autocast


def context_matrix(key: Tensor, value: Tensor) -> Tensor:
    """`G`, `(..., M, E)`: for each feature the mean of the values, weighted by a softmax over the tokens.

    Args:
        key: `(..., N, M)`, logits.
        value: `(..., N, E)`.
    """
    with without_autocast(value):  # a float32 island: a sum over all voxels
        return full_precision(key).softmax(-2).transpose(-1, -2) @ full_precision(value)


def linear_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The output, `(..., N, E)` in the type of `value`; it lies between the smallest and the largest of the values.

    Args:
        query: `(..., N, M)`, logits.
        key: `(..., N, M)`, logits.
        value: `(..., N, E)`.
    """
    with without_autocast(value):
        return (full_precision(query).softmax(-1) @ context_matrix(key, value)).to(value.dtype)


def favor_attention(query: Tensor, key: Tensor, value: Tensor, features: Tensor) -> Tensor:
    """FAVOR+ attention, `(..., N, E)` in the type of `value`.

    Args:
        query: `(..., N, E)`.
        key: `(..., N, E)`.
        value: `(..., N, E)`.
        features: `(M, E)`, of `orthogonal_features`. The more there are, the closer it is to softmax attention.
    """
    with without_autocast(value):
        scale = features.shape[-1] ** -0.25
        q, k = full_precision(query) * scale, full_precision(key) * scale
        weight = features.to(k.dtype).T
        key_logits = k @ weight - k.square().sum(-1, keepdim=True) / 2
        query_logits = q @ weight + key_logits.logsumexp(-2, keepdim=True)
        return linear_attention(query_logits, key_logits, value)


def orthogonal_features(number: int, size: int, seed: int) -> Tensor:
    """Random features `(number, size)`, on the CPU: each block of `size` rows is orthogonal.

    A row alone is a Gaussian vector: its direction is uniform, its length is that of another Gaussian vector.
    Orthogonal rows lower the variance (section 2.4 of the Performers). No global generator is used.
    """
    generator = torch.Generator("cpu").manual_seed(seed)

    def normal(rows: int) -> Tensor:
        return torch.randn(rows, size, generator=generator, device="cpu")

    blocks = []
    for _ in range(-(-number // size)):
        directions, triangle = torch.linalg.qr(normal(size))
        blocks.append(directions * triangle.diagonal().sign())  # else LAPACK's signs, which are not random
    lengths = normal(number).norm(dim=1, keepdim=True)
    return torch.cat(blocks)[:number] * lengths
