"""What a training step asks of a GPU, seen on fake CUDA tensors: no wait for the host, no copy to another layout."""

from collections.abc import Iterator
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import tree_leaves

from nnunetv2_factorizer.conformance.configurations import CONFIGURATIONS
from nnunetv2_factorizer.conformance.subject import INPUT_CHANNELS, Subject
from nnunetv2_factorizer.families import FAMILIES
from tests.network.fake_cuda import Call, calls_of, fake_cuda, on_fake_cuda

pytestmark = pytest.mark.no_cover  # fake tensors take a third longer where lines are counted

VARIANTS = [("Factorizer", variant) for variant in FAMILIES["Factorizer"].variants]
NUM_CLASSES = 5
BATCH, VOLUME = 64, 2**16
"""Of so many images the smallest volume has more numbers than the largest weight."""

WAITING = {"_local_scalar_dense", "equal", "is_nonzero", "masked_select", "nonzero", "unique", "unique2", "_unique2"}
COPYING = {"clone", "copy_", "_to_copy", "contiguous"}
CONVOLVING = {"convolution": 8, "convolution_backward": 9}
"""The position of the argument `groups`."""


def build(family: str, variant: str, configuration: str) -> nn.Module:
    entry = FAMILIES[family]
    planned = next(c for c in CONFIGURATIONS if c.name == configuration)
    subject = Subject(entry.network_class, planned, entry.variants[variant], entry.kw_requires_import)
    return subject.build(num_classes=NUM_CLASSES)


def train(network: nn.Module, x: Tensor) -> None:
    """A step with a loss for each output and what a `GradScaler` does to their sum."""
    with torch.autocast(x.device.type, torch.float16):
        outputs = network(x)
        losses = [functional.cross_entropy(logits.float(), logits[:, 0].long()) for logits in outputs]
        loss = torch.stack([loss / 2**i for i, loss in enumerate(losses)]).sum()
    (loss * torch.full((), 2.0**16, device=x.device)).backward()


@cache
def trace(family: str, variant: str, configuration: str) -> list[Call]:
    network = build(family, variant, configuration)
    size = next(c.patch_size for c in CONFIGURATIONS if c.name == configuration)
    with fake_cuda():
        on_gpu, x = on_fake_cuda(network), torch.empty(BATCH, INPUT_CHANNELS, *size, device="cuda")
        calls = calls_of(on_gpu, lambda: train(on_gpu, x))
    assert all(p.grad is not None and p.grad.is_cuda for p in on_gpu.parameters())
    return calls


def tensors(*values: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def order(x: Tensor) -> list[int]:
    """The axes from the slowest to the fastest in memory; those of length 1 and those expanded are anywhere."""
    axes = [axis for axis in range(x.ndim) if x.shape[axis] > 1 and x.stride(axis) > 0]
    return sorted(axes, key=x.stride, reverse=True)


def is_inner(x: Tensor) -> bool:
    """A volume that is neither image nor logits: those are what the first and the last layer may copy."""
    return x.numel() >= VOLUME and not (len(x) == BATCH and x.shape[1] in (INPUT_CHANNELS, NUM_CLASSES))


def pairs(call: Call) -> Iterator[tuple[Tensor, Tensor]]:
    """The volumes that an operator must not give another layout, each with what it becomes."""
    name = call.func._opname
    if name in COPYING:
        yield call.args[1] if name == "copy_" else call.args[0], call.result
    elif name == "convolution":
        yield call.args[0], call.result
    elif name == "convolution_backward":
        yield call.args[0], call.args[1]  # the gradient with respect to the result, and the input
        yield call.args[1], call.result[0]


@pytest.mark.parametrize("configuration", [c.name for c in CONFIGURATIONS])
@pytest.mark.parametrize(("family", "variant"), VARIANTS)
def test_nothing_waits_for_the_host(family: str, variant: str, configuration: str) -> None:
    found = []
    for call in trace(family, variant, configuration):
        devices = {x.device.type for x in tensors(call.args, call.result)}
        if call.func._opname in WAITING or len(devices) > 1:
            found.append(f"{call.place}: {call.func} on {devices}")
    assert found == []


@pytest.mark.parametrize("configuration", [c.name for c in CONFIGURATIONS])
@pytest.mark.parametrize(("family", "variant"), VARIANTS)
def test_no_volume_is_copied_to_another_layout(family: str, variant: str, configuration: str) -> None:
    found = []
    for call in trace(family, variant, configuration):
        for before, after in pairs(call):
            if after is not None and is_inner(before) and is_inner(after) and order(before) != order(after):
                found.append(f"{call.place}: {call.func} of {tuple(before.shape)}, {before.stride()}, {after.stride()}")
    assert found == []


@pytest.mark.parametrize("configuration", [c.name for c in CONFIGURATIONS])
@pytest.mark.parametrize(("family", "variant"), VARIANTS)
def test_no_grouped_convolution_is_left(family: str, variant: str, configuration: str) -> None:
    groups = [call.args[CONVOLVING[name]] for call in trace(family, variant, configuration)
              if (name := call.func._opname) in CONVOLVING]  # fmt: skip
    assert len(groups) > 4
    assert set(groups) == {1}


@pytest.mark.parametrize(("family", "variant"), VARIANTS)
def test_the_layers_of_each_voxel_are_one_operator(family: str, variant: str) -> None:
    """Whether kernels or PyTorch do its work is decided inside. Asked for its type, PyTorch's layers see one row."""
    calls = trace(family, variant, "3d")
    names = [call.func._opname for call in calls if any(x.ndim == 2 and len(x) > 1 for x in tensors(call.args[:1]))]
    assert {"native_layer_norm", "gelu", "native_layer_norm_backward", "gelu_backward"}.isdisjoint(names)
    operators = [call.func._opname for call in calls]
    assert operators.count("recomputed") == operators.count("recomputed_backward") > 1


def test_a_cpu_keeps_pytorchs_depthwise_convolutions() -> None:
    network, x = build("Factorizer", "Hybrid", "3d"), torch.randn(1, INPUT_CHANNELS, 16, 16, 16)
    calls = calls_of(network, lambda: network(x))
    groups = [call.args[CONVOLVING["convolution"]] for call in calls if call.func._opname == "convolution"]
    assert sorted(groups)[-2:] == [16, 32]  # on the way down, and in the block
