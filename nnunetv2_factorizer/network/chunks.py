"""Layers that work on each voxel alone, computed a chunk of voxels at a time, forward and again for the gradients."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from nnunetv2_factorizer.factorization.working_set import VOXEL_NUMBERS, row_chunks

Rows = Callable[..., Tensor]
"""Maps tensors `(rows, ..., C_i)` to one of `(rows, ..., C)`, each row on its own."""

Chunks = Callable[[Tensor], list[slice]]
"""Cuts the rows of a tensor `(rows, ..., C)`."""


def voxel_chunks(rows: Tensor) -> list[slice]:
    """Chunks of the size that suits the device."""
    return row_chunks(rows, VOXEL_NUMBERS)


def in_chunks(function: Rows, chunks: Chunks, inputs: Sequence[Tensor]) -> Tensor:
    """What `function` gives for all rows."""
    result = None
    for chunk in chunks(inputs[0]):
        part = function(*(x[chunk] for x in inputs))
        if result is None:
            result = part.new_empty(len(inputs[0]), *part.shape[1:])
        result[chunk] = part
    assert result is not None
    return result


def gradients_in_chunks(
    function: Rows,
    chunks: Chunks,
    inputs: Sequence[Tensor],
    wanted: Sequence[bool],
    trained: Sequence[Tensor],
    grad: Tensor,
    autocast: torch.dtype | None,
) -> list[Tensor]:
    """Of the inputs that are wanted, then of the trained parameters; `autocast` is that of the forward pass.

    All contiguous, whatever they are gradients of: compiled code counts on the strides that the operator has announced.
    """
    input_grads = [x.new_empty(x.shape) if w else None for x, w in zip(inputs, wanted, strict=True)]
    sums = [p.new_zeros(p.shape) for p in trained]
    for number, chunk in enumerate(chunks(inputs[0])):
        leaves = [x[chunk].detach().requires_grad_(w) for x, w in zip(inputs, wanted, strict=True)]
        with torch.enable_grad(), autocast_to(inputs[0], autocast):
            part = function(*leaves)
        variables = [leaf for leaf in leaves if leaf.requires_grad]
        if number == 0:
            refuse_others(part, [*variables, *trained])
        parts = torch.autograd.grad(part, [*variables, *trained], grad[chunk])
        for total, p in zip([g for g in input_grads if g is not None], parts, strict=False):
            total[chunk] = p
        for total, p in zip(sums, parts[len(variables) :], strict=True):
            total += p
    return [*(g for g in input_grads if g is not None), *sums]


def refuse_others(result: Tensor, known: Sequence[Tensor]) -> None:
    """Raises a `RuntimeError` where a result depends on another leaf: it would get no gradient, and nobody would see.

    A leaf is the `variable` of a node `AccumulateGrad`, at the ends of autograd's graph.
    """
    nodes, seen = [result.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None and not any(leaf is tensor for tensor in known):
            raise RuntimeError(
                f"the function that is recomputed has a parameter of shape {tuple(leaf.shape)} that is in none of the "
                "modules given to `recomputed`, and would get no gradient. Give its module, too."
            )
        nodes += [before for before, _ in node.next_functions]


def autocast_dtype(x: Tensor) -> torch.dtype | None:
    """What autocast computes in on the device of `x`; None where it is off."""
    device_type = x.device.type
    if not torch.amp.is_autocast_available(device_type) or not torch.is_autocast_enabled(device_type):
        return None
    return torch.get_autocast_dtype(device_type)


def autocast_to(x: Tensor, dtype: torch.dtype | None) -> AbstractContextManager[Any]:
    """Autocast as it was; on a device without it nothing."""
    if not torch.amp.is_autocast_available(x.device.type):
        return nullcontext()
    return torch.autocast(x.device.type, dtype, enabled=dtype is not None)


@contextmanager
def autograd() -> Iterator[None]:
    """Autograd inside an operator, which is below it, and inside `torch.inference_mode`."""
    key = torch._C.DispatchKey.AutogradFunctionality
    with torch.inference_mode(False), torch._C._SetExcludeDispatchKeyGuard(key, False), torch.enable_grad():
        yield
