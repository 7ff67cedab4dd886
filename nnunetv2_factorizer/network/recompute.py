"""Layers that work on each voxel alone, computed a chunk of voxels at a time and again in the backward pass.

What such a chain of layers makes in between is many times its input. A chunk of it stays in the cache of a CPU and is
gone when the next one comes: that saves memory, and on a CPU also the time to write and read it.

Compiled, an operator of `torch.library` does the same, so that a network needs no more memory than it was planned for.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from typing import Any
from weakref import WeakValueDictionary

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


class Recomputed:
    """A method of a module, of which nothing but the inputs is kept for the backward pass.

    Args:
        owner: the module; it keeps this object.
        method: by name; it takes `inputs` and then the `constants`, and maps rows as `Rows` does. Its result has the
            shape of the first input.
        modules: in the owner by name, those whose parameters the method uses; `""` is the owner itself.
        constants: whole numbers.
    """

    chunks: Chunks = staticmethod(voxel_chunks)
    """How much is worked on at a time; the memory model counts with the chunks of another machine."""

    def __init__(self, owner: nn.Module, method: str, modules: Sequence[str] = ("",), *constants: int) -> None:
        self.owner, self.method, self.modules, self.constants = owner, method, tuple(modules), constants
        self._enroll()

    def _enroll(self) -> None:
        self.number = next(_numbers)  # by which the operator finds it
        _enrolled[self.number] = self

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._enroll()  # a copy is another one

    def __call__(self, *inputs: Tensor, deterministic: bool = True) -> Tensor:
        """The method's result.

        Args:
            *inputs: `(rows, ..., C_i)`, the same number of rows each.
            deterministic: whether the method gives the same every time, as dropout does not.

        Raises:
            RuntimeError: in the backward pass, the method has a parameter that is in none of the `modules`.
        """
        trained = torch.is_grad_enabled()
        if trained and not deterministic:
            result: Tensor = checkpoint(self.function, *inputs, use_reentrant=False)
            return result
        if trained and torch.compiler.is_dynamo_compiling():
            dtype = self.function(*(x[:1] for x in inputs)).dtype
            return _recomputed(self.number, list(inputs), self.parameters, dtype, _autocast_dtype(inputs[0]))
        if torch.compiler.is_compiling() or torch.jit.is_tracing() or not deterministic:  # for inference only
            return self.function(*inputs)
        result = _Recomputed.apply(self.function, self.chunks, len(inputs), *inputs, *self.parameters)
        return result

    def function(self, *inputs: Tensor) -> Tensor:
        """The method with its constants."""
        result: Tensor = getattr(self.owner, self.method)(*inputs, *self.constants)
        return result

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Those of the modules."""
        return [p for name in self.modules for p in self.owner.get_submodule(name).parameters()]


_numbers = count()
_enrolled: WeakValueDictionary[int, Recomputed] = WeakValueDictionary()


def all_recomputed(network: nn.Module) -> list[Recomputed]:
    """Those of all modules of a network."""
    modules = set(network.modules())
    return [recomputed for recomputed in list(_enrolled.values()) if recomputed.owner in modules]


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Rows, chunks: Chunks, num_inputs: int, *tensors: Tensor) -> Tensor:
        inputs = tensors[:num_inputs]
        ctx.function, ctx.chunks, ctx.parameters = function, chunks, tensors[num_inputs:]
        ctx.autocast = _autocast_dtype(inputs[0])
        ctx.save_for_backward(*inputs)
        return _in_chunks(function, chunks, inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        inputs = ctx.saved_tensors
        wanted = ctx.needs_input_grad[3 : 3 + len(inputs)]
        trained = [p for p in ctx.parameters if p.requires_grad]
        if torch.is_grad_enabled():  # somebody wants second derivatives, and so the graph
            leaves = [x[:1].detach().requires_grad_(w) for x, w in zip(inputs, wanted, strict=True)]
            with _autocast(inputs[0], ctx.autocast):
                _refuse_others(ctx.function(*leaves), [*leaves, *trained])
            views = [x.view_as(x) for x in inputs]  # one input may be the other, or be made of it
            with _autocast(inputs[0], ctx.autocast):
                result = ctx.function(*views)
            variables = [x for x, w in zip(views, wanted, strict=True) if w]
            return _in_place_of(ctx, torch.autograd.grad(result, [*variables, *trained], grad, create_graph=True))
        gradients = _gradients_in_chunks(ctx.function, ctx.chunks, inputs, wanted, trained, grad, ctx.autocast)
        return _in_place_of(ctx, gradients)


@torch.library.custom_op("nnunetv2_factorizer::recomputed", mutates_args=())
def _recomputed(
    number: int, inputs: list[Tensor], parameters: list[Tensor], dtype: torch.dtype, autocast: torch.dtype | None
) -> Tensor:
    """The `Recomputed` of this number; `parameters` are here for their gradients, `dtype` is that of the result."""
    recomputed = _enrolled[number]
    with _autocast(inputs[0], autocast):
        return _in_chunks(recomputed.function, recomputed.chunks, inputs)


@torch.library.custom_op("nnunetv2_factorizer::recomputed_backward", mutates_args=())
def _recomputed_backward(
    grad: Tensor, number: int, inputs: list[Tensor], parameters: list[Tensor], autocast: torch.dtype | None
) -> list[Tensor]:
    """The gradients of inputs and parameters; zeros for frozen ones."""
    recomputed = _enrolled[number]
    # An operator is below autograd, which is needed here once more.
    with torch._C._SetExcludeDispatchKeyGuard(torch._C.DispatchKey.AutogradFunctionality, False):
        trained = [p for p in recomputed.parameters if p.requires_grad]
        wanted = [True] * len(inputs)
        gradients = _gradients_in_chunks(
            recomputed.function, recomputed.chunks, inputs, wanted, trained, grad, autocast
        )
    of_inputs, of_trained = gradients[: len(inputs)], iter(gradients[len(inputs) :])
    of_parameters = [next(of_trained) if p.requires_grad else p.new_zeros(p.shape) for p in recomputed.parameters]
    return [*of_inputs, *of_parameters]


@_recomputed.register_fake
def _recomputed_fake(
    number: int, inputs: list[Tensor], parameters: list[Tensor], dtype: torch.dtype, autocast: torch.dtype | None
) -> Tensor:
    return inputs[0].new_empty(inputs[0].shape, dtype=dtype)


@_recomputed_backward.register_fake
def _recomputed_backward_fake(
    grad: Tensor, number: int, inputs: list[Tensor], parameters: list[Tensor], autocast: torch.dtype | None
) -> list[Tensor]:
    return [t.new_empty(t.shape) for t in (*inputs, *parameters)]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.number, volumes, parameters, _, ctx.autocast = inputs
    ctx.num_inputs = len(volumes)
    ctx.save_for_backward(*volumes, *parameters)


def _vjp(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    inputs, parameters = ctx.saved_tensors[: ctx.num_inputs], ctx.saved_tensors[ctx.num_inputs :]
    gradients = _recomputed_backward(grad, ctx.number, list(inputs), list(parameters), ctx.autocast)
    return None, gradients[: ctx.num_inputs], gradients[ctx.num_inputs :], None, None


_recomputed.register_autograd(_vjp, setup_context=_keep)


def _in_chunks(function: Rows, chunks: Chunks, inputs: Sequence[Tensor]) -> Tensor:
    result = None
    for chunk in chunks(inputs[0]):
        part = function(*(x[chunk] for x in inputs))
        if result is None:
            result = part.new_empty(len(inputs[0]), *part.shape[1:])
        result[chunk] = part
    assert result is not None
    return result


def _gradients_in_chunks(
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
        with torch.enable_grad(), _autocast(inputs[0], autocast):
            part = function(*leaves)
        variables = [leaf for leaf in leaves if leaf.requires_grad]
        if number == 0:
            _refuse_others(part, [*variables, *trained])
        parts = torch.autograd.grad(part, [*variables, *trained], grad[chunk])
        for total, p in zip([g for g in input_grads if g is not None], parts, strict=False):
            total[chunk] = p
        for total, p in zip(sums, parts[len(variables) :], strict=True):
            total += p
    return [*(g for g in input_grads if g is not None), *sums]


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


def _autocast_dtype(x: Tensor) -> torch.dtype | None:
    """What autocast computes in on the device of `x`; None where it is off."""
    device_type = x.device.type
    if not torch.amp.is_autocast_available(device_type) or not torch.is_autocast_enabled(device_type):
        return None
    return torch.get_autocast_dtype(device_type)


def _autocast(x: Tensor, dtype: torch.dtype | None) -> AbstractContextManager[Any]:
    """Autocast as it was; on a device without it nothing."""
    if not torch.amp.is_autocast_available(x.device.type):
        return nullcontext()
    return torch.autocast(x.device.type, dtype, enabled=dtype is not None)
