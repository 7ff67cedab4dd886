"""Layers that work on each voxel alone, computed a chunk of voxels at a time and again in the backward pass.

What such a chain of layers makes in between is many times its input. A chunk of it stays in the cache of a CPU and is
gone when the next one comes: that saves memory, and on a CPU also the time to write and read it.

Compiled, an operator of `torch.library` does the same, so that a network needs no more memory than it was planned for.
On a GPU it is that operator eagerly, too, for layers that have kernels: it asks those first.
"""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nnunetv2_factorizer.network.chunks import (
    Chunks,
    autocast_dtype,
    autocast_to,
    autograd,
    gradients_in_chunks,
    in_chunks,
    refuse_others,
    voxel_chunks,
)

Gradients = list[Tensor]
"""Of all inputs, then of all parameters."""


class Fused(NamedTuple):
    """The method by kernels of a GPU; both are given parameters and the type of autocast, and give None where not."""

    forward: Callable[[list[Tensor], list[Tensor], torch.dtype | None], Tensor | None]
    backward: Callable[[Tensor, list[Tensor], list[Tensor], torch.dtype | None], Gradients | None]


class Recomputed:
    """A method of a module, of which nothing but the inputs is kept for the backward pass.

    Args:
        owner: the module; it keeps this object.
        method: by name; it takes `inputs` and then the `constants`, and maps rows as `Rows` does. Its result has the
            shape of the first input.
        modules: in the owner by name, those whose parameters the method uses; `""` is the owner itself.
        constants: whole numbers.
        fused: does the same on a GPU.
    """

    chunks: Chunks = staticmethod(voxel_chunks)
    """How much is worked on at a time; the memory model counts with the chunks of another machine."""

    def __init__(
        self,
        owner: nn.Module,
        method: str,
        modules: Sequence[str] = ("",),
        *constants: int,
        fused: Fused | None = None,
    ) -> None:
        self.owner, self.method, self.modules, self.constants = owner, method, tuple(modules), constants
        self.fused = fused
        self._types: dict[Any, torch.dtype] = {}
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
            return _recomputed(self.number, list(inputs), self.parameters, dtype, autocast_dtype(inputs[0]))
        if torch.compiler.is_compiling() or torch.jit.is_tracing() or not deterministic:  # for inference only
            return self.function(*inputs)
        result = _Recomputed.apply(self, len(inputs), *inputs, *self.parameters)
        return result

    def function(self, *inputs: Tensor) -> Tensor:
        """The method with its constants."""
        result: Tensor = getattr(self.owner, self.method)(*inputs, *self.constants)
        return result

    def on_gpu(self, x: Tensor) -> bool:
        """Whether the operator does the work: it knows kernels for the device of `x`."""
        return self.fused is not None and x.device.type == "cuda"

    def type_of_result(self, inputs: Sequence[Tensor], parameters: Sequence[Tensor]) -> torch.dtype:
        """Found by the method itself, on one row, once for all such types."""
        key = (autocast_dtype(inputs[0]), *(x.dtype for x in (*inputs, *parameters)))
        if key not in self._types:
            with torch.no_grad():
                self._types[key] = self.function(*(x[:1] for x in inputs)).dtype
        return self._types[key]

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
    def forward(ctx: Any, recomputed: Recomputed, num_inputs: int, *tensors: Tensor) -> Tensor:
        inputs, parameters = tensors[:num_inputs], tensors[num_inputs:]
        ctx.recomputed, ctx.parameters = recomputed, parameters
        ctx.autocast = autocast_dtype(inputs[0])
        ctx.save_for_backward(*inputs)
        if recomputed.on_gpu(inputs[0]):
            dtype = recomputed.type_of_result(inputs, parameters)
            return _recomputed(recomputed.number, list(inputs), list(parameters), dtype, ctx.autocast)
        return in_chunks(recomputed.function, recomputed.chunks, inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        inputs, recomputed = ctx.saved_tensors, ctx.recomputed
        function = recomputed.function
        wanted = ctx.needs_input_grad[2 : 2 + len(inputs)]
        trained = [p for p in ctx.parameters if p.requires_grad]
        if torch.is_grad_enabled():  # somebody wants second derivatives, and so the graph
            leaves = [x[:1].detach().requires_grad_(w) for x, w in zip(inputs, wanted, strict=True)]
            with autocast_to(inputs[0], ctx.autocast):
                refuse_others(function(*leaves), [*leaves, *trained])
            views = [x.view_as(x) for x in inputs]  # one input may be the other, or be made of it
            with autocast_to(inputs[0], ctx.autocast):
                result = function(*views)
            variables = [x for x, w in zip(views, wanted, strict=True) if w]
            return _in_place_of(ctx, torch.autograd.grad(result, [*variables, *trained], grad, create_graph=True))
        if recomputed.on_gpu(inputs[0]):
            parameters = list(ctx.parameters)
            of_all = _recomputed_backward(grad, recomputed.number, list(inputs), parameters, ctx.autocast)
            return None, None, *(g if w else None for g, w in zip(of_all, ctx.needs_input_grad[2:], strict=True))
        gradients = gradients_in_chunks(function, recomputed.chunks, inputs, wanted, trained, grad, ctx.autocast)
        return _in_place_of(ctx, gradients)


@torch.library.custom_op("nnunetv2_factorizer::recomputed", mutates_args=())
def _recomputed(
    number: int, inputs: list[Tensor], parameters: list[Tensor], dtype: torch.dtype, autocast: torch.dtype | None
) -> Tensor:
    """The `Recomputed` of this number; `parameters` are here for their gradients, `dtype` is that of the result."""
    recomputed = _enrolled[number]
    if recomputed.fused is not None and recomputed.on_gpu(inputs[0]):
        result = recomputed.fused.forward(inputs, parameters, autocast)
        if result is not None:
            return result
    with autocast_to(inputs[0], autocast):
        return in_chunks(recomputed.function, recomputed.chunks, inputs)


@torch.library.custom_op("nnunetv2_factorizer::recomputed_backward", mutates_args=())
def _recomputed_backward(
    grad: Tensor, number: int, inputs: list[Tensor], parameters: list[Tensor], autocast: torch.dtype | None
) -> list[Tensor]:
    """The gradients of inputs and parameters; zeros for frozen ones."""
    recomputed = _enrolled[number]
    if recomputed.fused is not None and recomputed.on_gpu(inputs[0]):
        of_all = recomputed.fused.backward(grad, inputs, parameters, autocast)
        if of_all is not None:
            return of_all
    trained, wanted = [p for p in recomputed.parameters if p.requires_grad], [True] * len(inputs)
    with autograd():
        gradients = gradients_in_chunks(recomputed.function, recomputed.chunks, inputs, wanted, trained, grad, autocast)
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


def _in_place_of(ctx: Any, gradients: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """The gradients at the positions of the arguments of `forward` that want one."""
    remaining = iter(gradients)
    return tuple(next(remaining) if wanted else None for wanted in ctx.needs_input_grad)
