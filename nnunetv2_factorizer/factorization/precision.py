"""The float32 island: factorizations are computed in full precision, also under autocast."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def without_autocast(x: Tensor) -> AbstractContextManager[None]:
    """Switches autocast off on the device of `x`."""
    if not torch.amp.is_autocast_available(x.device.type):  # such as the meta device
        return nullcontext()
    return torch.autocast(x.device.type, enabled=False)


def full_precision(x: Tensor) -> Tensor:
    """`x` in float32, or as it is where it is in float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
