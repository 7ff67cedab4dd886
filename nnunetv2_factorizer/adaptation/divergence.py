"""How far what a network says is from what it shall say."""

from torch import Tensor
from torch.nn import functional


def divergence(p: Tensor, q: Tensor, regions: bool) -> Tensor:
    """KL(p || q) of each voxel, `(B, *S)`.

    Args:
        p: logits `(B, K, *S)`.
        q: likewise.
        regions: whether each of the K is a probability of its own; the sum of their divergences is taken.
    """
    if regions:
        yes, no = (functional.logsigmoid(sign * p) for sign in (1, -1))
        q_yes, q_no = (functional.logsigmoid(sign * q) for sign in (1, -1))
        return (yes.exp() * (yes - q_yes) + no.exp() * (no - q_no)).sum(1)
    p, q = p.log_softmax(1), q.log_softmax(1)
    return (p.exp() * (p - q)).sum(1)
