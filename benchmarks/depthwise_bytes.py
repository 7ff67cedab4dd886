"""What a depthwise convolution with its residual moves through memory, forward and backward, counted without a GPU.

    python -m benchmarks.depthwise_bytes

Bytes for each number of a volume in half precision, and kernels (on a CPU: loops). Shifted multiply-adds are counted
by Inductor's scheduler, for a CPU; of our operator each kernel's arguments and results are. What a cache gives once
more is not counted in either.
"""

import logging
from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor, nn
from torch._inductor import config, metrics
from torch.nn import functional

from nnunetv2_factorizer.network.depthwise import _depthwise, _depthwise_backward

CHANNELS, SIZE = 32, 32


def shifted(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`x + convolution(x)` on `(B, D, H, W, C)` as a sum over the places of the kernel."""
    padded = functional.pad(x, [0, 0, 1, 1, 1, 1, 1, 1])
    total = x + bias
    for i, j, k in product(range(3), repeat=3):
        total = total + weight[:, 0, i, j, k] * padded[:, i : i + SIZE, j : j + SIZE, k : k + SIZE]
    return total


def shifted_backward(grad: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """By the same formula; what autograd makes of `shifted` is 27 padded volumes."""
    dx = shifted(grad, weight.flip(2, 3, 4), torch.zeros(CHANNELS))
    padded = functional.pad(x, [0, 0, 1, 1, 1, 1, 1, 1])
    sums = [
        (grad.float() * padded[:, i : i + SIZE, j : j + SIZE, k : k + SIZE]).sum((0, 1, 2, 3))
        for i, j, k in product(range(3), repeat=3)
    ]
    return dx.to(x.dtype), torch.stack(sums, 1).view(weight.shape), grad.float().sum((0, 1, 2, 3))


def of_inductor(function: Callable[..., object], *arguments: Tensor) -> tuple[int, int]:
    """Bytes and kernels; the scheduler counts where somebody listens."""
    logging.getLogger("torch._inductor.compile_fx.__inductor_metrics").setLevel(logging.INFO)
    metrics.reset()
    with config.patch(force_disable_caches=True):
        torch.compile(function, fullgraph=True)(*arguments)
    return metrics.num_bytes_accessed, metrics.generated_kernel_count


def of_tensors(*tensors: Tensor) -> int:
    return sum(t.nbytes for t in tensors)


def main() -> None:
    convolution = nn.Conv3d(CHANNELS, CHANNELS, 3, padding=1, groups=CHANNELS).requires_grad_(False)
    weight, bias = convolution.weight, convolution.bias
    assert bias is not None
    x, grad = torch.randn(2, 1, SIZE, SIZE, SIZE, CHANNELS).half()
    ways = {
        "shifted multiply-adds, Inductor": (
            of_inductor(lambda *a: shifted(*a).half(), x, weight, bias),
            of_inductor(shifted_backward, grad, x, weight),
        ),
        "our operator": (
            (of_tensors(x, weight, bias, _depthwise(x, weight, bias, [1] * 3)), 1),
            # The gradients of volume and weight each read `grad`; the sums of the programs are added by PyTorch.
            (of_tensors(grad, grad, x, weight, *_depthwise_backward(grad, x, weight, [1] * 3)), 3),
        ),
    }
    print("| depthwise 3x3x3 with residual | forward B/el | kernels | backward B/el | kernels | together B/el |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, ((forward, kernels), (backward, more_kernels)) in ways.items():
        numbers = [f"{n / x.numel():.1f}" for n in (forward, backward, forward + backward)]
        print(f"| {name} | {numbers[0]} | {kernels} | {numbers[1]} | {more_kernels} | {numbers[2]} |")


if __name__ == "__main__":
    main()
