"""The memory of a training step, for any network, without allocating it.

The step runs on PyTorch's fake tensors, which have shapes and no numbers, and the bytes of those alive are counted.
What a library takes inside one operation (cuDNN's workspace) and what an allocator leaves unused are not seen.
"""

import copy
import weakref
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nnunetv2_factorizer.factorization.mixing import CHUNKS_ALIVE, workspace_bytes
from nnunetv2_factorizer.factorization.working_set import VOXEL_NUMBERS, row_chunks
from nnunetv2_factorizer.network.recompute import all_recomputed


@dataclass(frozen=True)
class StepMemory:
    """Bytes of one training step."""

    kept: int
    """What the forward pass keeps for the backward pass, parameters left out."""
    peak: int
    """All that is alive at the worst moment: also parameters, gradients, and AdamW's two numbers for each weight."""


def step_memory(
    network: nn.Module,
    input_shape: Sequence[int],
    dtype: torch.dtype = torch.float32,
    device_type: str = "cuda",
) -> StepMemory:
    """What a training step with AdamW, cross-entropy and Dice on every output needs.

    Args:
        network: on any device, the meta device included; it is not changed.
        input_shape: `(B, C, *S)` of the batch.
        dtype: `float32`, or `float16` or `bfloat16` for autocast with it.
        device_type: whose chunks of work are counted, `"cuda"` or `"cpu"`.
    """
    if device_type == "cuda" and dtype == torch.float16:
        dtype = torch.bfloat16  # of the same size, and on the CPU, too, its convolutions stay in channels-last memory
    gpu = AsOnGpu() if device_type == "cuda" else nullcontext()
    with FakeTensorMode(), gpu, _LiveBytes(device_type) as live:
        network = _fake(network)
        for recomputed in all_recomputed(network):
            recomputed.chunks = partial(_first_chunks, device_type)
        states = [torch.empty_like(p) for p in network.parameters() for _ in range(2)]
        x = torch.empty(*input_shape)
        kept = 0

        def forward(x: Tensor) -> Any:
            nonlocal kept
            outputs: list[Any] = []
            kept = bytes_kept(network, lambda: outputs.append(network(x)))
            return outputs[0]

        training_step(forward, x, dtype)
        peak = live.peak
        del states
    return StepMemory(kept, peak)


def forward_memory(network: nn.Module, input_shape: Sequence[int]) -> int:
    """Bytes that the forward pass of a batch `(B, C, *S)` keeps for the backward pass, in float32 on a CPU."""
    with FakeTensorMode():
        network = _fake(network)
        return bytes_kept(network, lambda: network(torch.empty(*input_shape)))


def bytes_kept(network: nn.Module, forward: Callable[[], object]) -> int:
    """Bytes of the distinct storages that `forward()` keeps for the backward pass, parameters left out."""
    kept: set[Any] = set()

    def pack(tensor: Tensor) -> Tensor:
        kept.add(tensor.untyped_storage())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(storage.nbytes() for storage in kept - {p.untyped_storage() for p in network.parameters()})


def training_step(forward: Callable[[Tensor], Any], x: Tensor, dtype: torch.dtype = torch.float32) -> None:
    """Forward and backward pass of a batch `(B, C, *S)`, the loss in the manner of nnU-Net's on every output."""
    with torch.autocast(x.device.type, dtype, enabled=dtype != torch.float32):
        outputs = forward(x)
        losses = [_loss(logits) for logits in (outputs if isinstance(outputs, list) else [outputs])]
        loss = torch.stack(losses).sum()
    loss.backward()


def _loss(logits: Tensor) -> Tensor:
    target = torch.zeros_like(logits[:, :1], dtype=torch.long)
    onehot = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, target, True)
    dice = (logits.float().softmax(1) * onehot).mean()
    return functional.cross_entropy(logits.float(), target[:, 0]) - dice


def _first_chunks(device_type: str, rows: Tensor) -> list[slice]:
    """Two of the device's: the second is worked on while the result of the first is there, and so is each after it.

    Fake tensors have no numbers that could be wrong. They are on the CPU: without a GPU, those of one have no backward
    pass.
    """
    return row_chunks(rows, VOXEL_NUMBERS, device_type)[:2]


def _fake(network: nn.Module) -> nn.Module:
    """A copy with fake parameters and buffers, in training."""
    tensors: dict[int, Any] = {}
    for tensor in chain(network.parameters(), network.buffers()):
        fake = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype)
        tensors[id(tensor)] = nn.Parameter(fake, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else fake
    return copy.deepcopy(network, tensors).train()


CONVOLUTIONS = {
    functional.conv2d: torch.channels_last,
    functional.conv3d: torch.channels_last_3d,
}


class AsOnGpu(TorchFunctionMode):
    """What is otherwise on a GPU than on some CPU, and matters.

    Layer and group norms are in float32, convolutions in channels-last, depthwise ones by our operator: `x.is_cuda`
    is true.

    A CPU without instructions for half precision has convolutions for it that give another layout.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func == Tensor.is_cuda.__get__:  # type: ignore[attr-defined]
            return True
        if func in (functional.layer_norm, functional.group_norm):
            args = (args[0].float(), *args[1:])
        result = func(*args, **kwargs or {})
        if func in CONVOLUTIONS and args[1].is_contiguous(memory_format=CONVOLUTIONS[func]):
            result = result.contiguous(memory_format=CONVOLUTIONS[func])
        return result


class _LiveBytes(TorchDispatchMode):
    """Counts the bytes of the storages that operations make, until they are freed."""

    def __init__(self, device_type: str) -> None:
        super().__init__()
        self._device_type = device_type
        self.now = self.peak = 0
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in CHUNKS_ALIVE:  # with fake tensors nothing inside our operators is computed
            self.peak = max(self.peak, self.now + args[0].nbytes + workspace_bytes(func, args[0], self._device_type))
        result = func(*args, **kwargs or {})
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._add(leaf.untyped_storage())
        return result

    def _add(self, storage: Any) -> None:
        if storage not in self._seen:
            self._seen.add(storage)
            weakref.finalize(storage, self._subtract, storage.nbytes())
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)

    def _subtract(self, number: int) -> None:
        self.now -= number
