"""Softmax attention with several heads: softmax(Q K^T / sqrt(d) + B) V (Vaswani et al. 2017)."""

from torch import Tensor
from torch.nn import functional


def attend(q: Tensor, k: Tensor, v: Tensor, num_heads: int, bias: Tensor | None = None) -> Tensor:
    """Attention of tokens to tokens.

    Args:
        q: queries `(B, N, C)`.
        k: keys `(B, M, C)`.
        v: values `(B, M, C)`.
        num_heads: that the channels are divided among.
        bias: added before the softmax, `(B or 1, num_heads, N, M)`; minus infinity where a token sees nothing.

    Returns:
        `(B, N, C)`.
    """
    q, k, v = (x.unflatten(-1, (num_heads, -1)).transpose(1, 2) for x in (q, k, v))
    bias = None if bias is None else bias.to(q.dtype)
    return functional.scaled_dot_product_attention(q, k, v, bias).transpose(1, 2).flatten(2)
