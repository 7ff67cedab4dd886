"""Layers that work on each voxel alone, computed a chunk of voxels at a time and again in the backward pass.

What such a chain of layers makes in between is many times its input. A chunk of it stays in the cache of a CPU and is
gone when the next one comes: that saves memory, and on a CPU also the time to write and read it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nnunetv2_factorizer.factorization.working_set import VOXEL_NUMBERS, row_chunks

Rows = Callable[..., Tensor]
"""Maps tensors `(rows, ..., C_i)` to one of `(rows, ..., C)`, each row on its own."""

Chunks = Callable[[Tensor], list[slice]]
"""Cuts the rows of a tensor `(rows, ..., C)`."""


def voxel_chunks(rows: Tensor) -> list[slice]:
    """Chunks of the size that suits the device."""
    return row_chunks(rows, VOXEL_NUMBERS)


def recomputed(
    function: Rows,
    modules: Sequence[nn.Module],
    *inputs: Tensor,
    deterministic: bool = True,
    chunks: Chunks = voxel_chunks,
) -> Tensor:
    """`function(*inputs)`, keeping nothing but the inputs for the backward pass.

    Args:
        function: all its parameters are those of `modules`.
        modules: whose parameters get a gradient.
        *inputs: `(rows, ..., C_i)`, the same number of rows each.
        deterministic: whether `function` gives the same every time, as dropout does not.
        chunks: slices of the rows that are worked on one after another, all of them together.

    Raises:
        RuntimeError: in the backward pass, `function` has a parameter that is in none of the `modules`.
    """
    if torch.is_grad_enabled() and (torch.compiler.is_dynamo_compiling() or not deterministic):
        result: Tensor = checkpoint(function, *inputs, use_reentrant=False)
        return result
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or not deterministic:  # for inference only
        return function(*inputs)
    parameters = [parameter for module in modules for parameter in module.parameters()]
    result = _Recomputed.apply(function, chunks, len(inputs), *inputs, *parameters)
    return result


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Rows, chunks: Chunks, num_inputs: int, *tensors: Tensor) -> Tensor:
        inputs = tensors[:num_inputs]
        ctx.function, ctx.chunks, ctx.parameters = function, chunks, tensors[num_inputs:]
        ctx.autocast = _autocast_state(inputs[0].device.type)
        ctx.save_for_backward(*inputs)
        result = None
        for chunk in chunks(inputs[0]):
            part = function(*(x[chunk] for x in inputs))
            if result is None:
                result = part.new_empty(len(inputs[0]), *part.shape[1:])
            result[chunk] = part
        assert result is not None
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        inputs = ctx.saved_tensors
        wanted = ctx.needs_input_grad[3 : 3 + len(inputs)]
        trained = [p for p in ctx.parameters if p.requires_grad]
        if torch.is_grad_enabled():  # somebody wants second derivatives, and so the graph
            leaves = [x[:1].detach().requires_grad_(w) for x, w in zip(inputs, wanted, strict=True)]
            with torch.autocast(**ctx.autocast):
                _refuse_others(ctx.function(*leaves), [*leaves, *trained])
            views = [x.view_as(x) for x in inputs]  # one input may be the other, or be made of it
            with torch.autocast(**ctx.autocast):
                result = ctx.function(*views)
            variables = [x for x, w in zip(views, wanted, strict=True) if w]
            return _in_place_of(ctx, torch.autograd.grad(result, [*variables, *trained], grad, create_graph=True))
        input_grads = [torch.empty_like(x) if w else None for x, w in zip(inputs, wanted, strict=True)]
        sums = [torch.zeros_like(p) for p in trained]
        for number, chunk in enumerate(ctx.chunks(inputs[0])):
            leaves = [x[chunk].detach().requires_grad_(w) for x, w in zip(inputs, wanted, strict=True)]
            with torch.enable_grad(), torch.autocast(**ctx.autocast):
                part = ctx.function(*leaves)
            variables = [leaf for leaf in leaves if leaf.requires_grad]
            if number == 0:
                _refuse_others(part, [*variables, *trained])
            parts = torch.autograd.grad(part, [*variables, *trained], grad[chunk])
            for total, p in zip([g for g in input_grads if g is not None], parts, strict=False):
                total[chunk] = p
            for total, p in zip(sums, parts[len(variables) :], strict=True):
                total += p
        return _in_place_of(ctx, [*(g for g in input_grads if g is not None), *sums])


def _in_place_of(ctx: Any, gradients: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """The gradients at the positions of the arguments of `forward` that want one."""
    remaining = iter(gradients)
    return tuple(next(remaining) if wanted else None for wanted in ctx.needs_input_grad)


def _refuse_others(result: Tensor, known: Sequence[Tensor]) -> None:
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


def _autocast_state(device_type: str) -> dict[str, Any]:
    if not torch.amp.is_autocast_available(device_type):
        return {"device_type": "cpu", "enabled": False}
    return {
        "device_type": device_type,
        "enabled": torch.is_autocast_enabled(device_type),
        "dtype": torch.get_autocast_dtype(device_type),
        "cache_enabled": torch.is_autocast_cache_enabled(),
    }
