"""A training step on a GPU that is not there: fake CUDA tensors, forward and backward, and every operator they meet.

Autograd's own engine wants a device for the backward pass. Ours calls the same nodes in the same order, in Python.
"""

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import Node, get_gradient_edge
from torch.utils._python_dispatch import TorchDispatchMode


class Call(NamedTuple):
    """An operator that was called."""

    func: Any
    args: Sequence[Any]
    result: Any
    place: str
    """The modules of the network in the forward pass, or the node of autograd in the backward pass."""


@contextmanager
def fake_cuda() -> Iterator[None]:
    """Inside, tensors are fake, may be on a GPU, and have a backward pass."""
    with pytest.MonkeyPatch.context() as patch, FakeTensorMode():
        patch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
        patch.setattr("torch.autograd._engine_run_backward", _run_backward)  # for torch.autograd.grad
        yield


def on_fake_cuda(network: nn.Module) -> nn.Module:
    """A copy; the numbers are lost."""
    tensors: dict[int, Any] = {
        id(t): type(t)(torch.empty_strided(t.shape, t.stride(), device="cuda"))
        for t in chain(network.parameters(), network.buffers())
    }
    return copy.deepcopy(network, tensors)


def calls_of(network: nn.Module, step: Callable[[], None]) -> list[Call]:
    """All operators that `step` calls, in order."""
    recorder = _Recorder()
    hooks = []
    for name, module in network.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda _module, _input, name=name: _places.append(name)))
        hooks.append(module.register_forward_hook(lambda *_: _leave()))
    try:
        with recorder:
            step()
    finally:
        for hook in hooks:
            hook.remove()
    return recorder.calls


_places: list[str] = []


def _leave() -> None:
    _places.pop()


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.calls.append(Call(func, args, result, _places[-1] if _places else ""))
        return result


def _run_backward(
    outputs: Sequence[Tensor],
    grads: Sequence[Tensor],
    _retain: bool,
    create_graph: bool,
    inputs: Sequence[Tensor],
    *_: Any,
    **__: Any,
) -> tuple[Tensor | None, ...]:
    """What autograd's engine does: the gradients of the inputs; without inputs, the leaves get theirs."""
    edges = [get_gradient_edge(t) for t in outputs]
    wanted: dict[Any, Tensor | None] = {(edge.node, edge.output_nr): None for edge in map(get_gradient_edge, inputs)}
    received: dict[Node, dict[int, Tensor]] = defaultdict(dict)
    for edge, grad in zip(edges, grads, strict=True):
        _add(received, edge.node, edge.output_nr, grad)
    with torch.set_grad_enabled(create_graph):
        for node in _in_order([edge.node for edge in edges]):
            given = received.pop(node, {})
            for number, grad in given.items():
                if (node, number) in wanted:
                    wanted[node, number] = grad
            leaf = getattr(node, "variable", None)
            if leaf is None and given:
                _call(node, given, received)
            elif leaf is not None and not inputs:
                leaf.grad = given[0]
    return tuple(wanted.values())


def _in_order(roots: list[Node]) -> list[Node]:
    """Each node after all those whose results it needs."""
    finished: list[Node] = []
    seen: set[Node] = set()
    stack = [(root, False) for root in roots]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            finished.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(following, False) for following, _ in node.next_functions if following is not None]
    return finished[::-1]


def _call(node: Any, given: dict[int, Tensor], received: dict[Any, dict[int, Tensor]]) -> None:
    """Calls a node with what it was given and passes the gradients on."""
    arguments = [given.get(number) for number in range(len(node._input_metadata))]
    _places.append(node.name())
    results = getattr(node, "apply", node)(*arguments)  # the first in Python, the second in C++
    _places.pop()
    results = results if isinstance(results, tuple) else (results,)
    if hasattr(node, "needs_input_grad"):  # in Python it has a result also for arguments that are no tensors
        results = [r for r, needed in zip(results, node.needs_input_grad, strict=True) if needed]
        edges = [edge for edge in node.next_functions if edge[0] is not None]
    else:
        edges = node.next_functions
    for (following, number), grad in zip(edges, results, strict=True):
        if following is not None and grad is not None:
            expected = following._input_metadata[number]  # what was broadcast is summed, what was cast is cast back
            _add(received, following, number, grad.sum_to_size(expected.shape).to(expected.dtype))


def _add(received: dict[Node, dict[int, Tensor]], node: Node, number: int, grad: Tensor) -> None:
    before = received[node].get(number)
    received[node][number] = grad if before is None else before + grad
