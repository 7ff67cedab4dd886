"""The operator of a block's layers of each voxel, called as the block calls it: against float64, and its time."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.gpu.setting import GPU
from benchmarks.measure import device
from nnunetv2_factorizer.network import voxelwise
from nnunetv2_factorizer.network.block import FactorizerBlock
from nnunetv2_factorizer.network.recompute import Recomputed
from nnunetv2_factorizer.network.settings import BlockSettings

recomputed = torch.ops.nnunetv2_factorizer.recomputed
recomputed_backward = torch.ops.nnunetv2_factorizer.recomputed_backward


class Layers:
    """Both halves of a block on `rows` voxels, before and after mixing, in half precision."""

    def __init__(self, channels: int, rows: int, dtype: torch.dtype) -> None:
        settings = BlockSettings(
            channels=channels, conv_op=nn.Conv3d, matricize="swin", size=None, window=(8, 8, 8), head_dim=8, rank=1,
            num_iters=5, solver="hals", mlp_ratio=2, dropout=0.0, nmf=False, local_path="none", kernel=(3, 3, 3),
        )  # fmt: skip
        generator = torch.Generator().manual_seed(0)
        self.block, self.dtype = FactorizerBlock(settings).to(device()), dtype
        volumes = torch.randn(3, rows, channels, generator=generator)
        self.x, self.mixed, self.grad = (volume.to(device(), dtype) for volume in volumes)

    def halves(self) -> list[tuple[Recomputed, list[Tensor]]]:
        """Each with its inputs."""
        return [(self.block.before, [self.x]), (self.block.after, [self.x, self.mixed])]

    def forward(self) -> list[Tensor]:
        """The results of both."""
        with torch.no_grad():
            return [recomputed(r.number, inputs, r.parameters, self.dtype, self.dtype) for r, inputs in self.halves()]

    def backward(self) -> list[Tensor]:
        """The gradients of the inputs, then of the parameters, of one and of the other."""
        calls = [(self.grad, r.number, inputs, r.parameters, self.dtype) for r, inputs in self.halves()]
        return [gradient for call in calls for gradient in recomputed_backward(*call)]

    def exact(self) -> tuple[list[Tensor], list[Tensor]]:
        """Results and gradients in float64."""
        results: list[Tensor] = []
        gradients: list[Tensor] = []
        block = copy.deepcopy(self.block).double()
        for own, inputs in self.halves():
            r = block.before if own is self.block.before else block.after
            leaves = [x.double().requires_grad_() for x in inputs]
            results.append(r.function(*leaves))
            gradients += torch.autograd.grad(results[-1], [*leaves, *r.parameters], self.grad.double())
        return [r.detach() for r in results], gradients

    def uses_triton(self) -> bool:
        """Whether kernels have done the work, and not PyTorch; asked after it."""
        names = zip(("before", "after"), self.halves(), strict=True)
        asked = [voxelwise._usable(name, inputs, list(r.parameters), self.dtype) for name, (r, inputs) in names]
        return self.x.is_cuda and all(asked)


def compare(channels: int, dtype: torch.dtype, tolerance: float) -> dict[str, Any]:
    """The largest relative errors of results and gradients, and whether a second call gives the same bits."""
    layers = Layers(channels, 10_000 if GPU else 100, dtype)
    exact = dict(zip(("forward", "backward"), layers.exact(), strict=True))
    ways: dict[str, Callable[[], list[Tensor]]] = {"forward": layers.forward, "backward": layers.backward}
    actual = {name: run() for name, run in ways.items()}
    repeats = all(torch.equal(a, b) for name, run in ways.items() for a, b in zip(actual[name], run(), strict=True))
    errors = {name: max(map(_relative_error, actual[name], exact[name])) for name in ways}
    return {
        **{name: float(f"{error:.3g}") for name, error in errors.items()},
        "tolerance": tolerance,
        "repeats": repeats,
        "triton": layers.uses_triton(),
        "passes": repeats and all(error <= tolerance for error in errors.values()),
    }


def runs(channels: int, rows: int, dtype: torch.dtype) -> tuple[Layers, dict[str, tuple[float, Callable[[], object]]]]:
    """Both directions, with the copies of a volume that move as many bytes: 4 + 6 B/el forward, 6 + 10 backward."""
    layers = Layers(channels, rows, dtype)
    return layers, {"forward": (2.5, layers.forward), "backward": (4.0, layers.backward)}


def _relative_error(actual: Tensor, expected: Tensor) -> float:
    return float((actual.double() - expected).norm() / expected.norm())
