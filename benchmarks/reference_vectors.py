"""Writes small reference vectors: what the plain formulation gives for drawn numbers, forward and backward.

`python -m benchmarks.reference_vectors tests/reference` writes one `NAME.npz` for each of `VECTORS` and replaces those
that are there. They let the tests of fidelity run in a fresh clone: names and keys are those of the published numbers
in `../shared/reference/`, the sizes are smaller.

Inputs and weights are drawn in float32 from a fixed seed. Outputs and gradients are computed in float64 by
`benchmarks/reference.py` under PyTorch's autograd and stored in float32. Nothing of the package is used.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.reference import HALS, Block, ReferenceFactorizer, hals, multiplicative_update

Vectors = dict[str, Tensor]


class Draw:
    """Numbers that float32 holds exactly, in float64; NumPy promises that this generator gives the same for ever."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.RandomState(seed)

    def normal(self, *shape: int) -> Tensor:
        return torch.from_numpy(self.random.standard_normal(shape).astype(np.float32)).double()

    def uniform(self, *shape: int) -> Tensor:
        return torch.from_numpy(self.random.random_sample(shape).astype(np.float32)).double()


def nmf_rank1() -> Vectors:
    """`x (6, 4, 32)`, the last matrix all zero; rank 1 after 1, 2, 5 and 10 iterations of HALS."""
    draw = Draw()
    vectors = {"x": torch.relu(draw.normal(6, 4, 32)), "v0": draw.uniform(32, 1), "u0": draw.uniform(4, 1)}
    vectors["x"][5] = 0
    vectors["grad_out"] = draw.normal(6, 4, 32)
    for num_iters in (1, 2, 5, 10):
        nmf = HALS(4, 32, num_iters)
        nmf.init.v0 = vectors["v0"]
        x = vectors["x"].clone().requires_grad_()
        y = nmf(x)
        y.backward(vectors["grad_out"])
        vectors |= {f"y_T{num_iters}": y, f"grad_x_T{num_iters}": _gradient(x)}
    return vectors


def nmf_rank_r() -> Vectors:
    """`x (3, 6, 16)`; ranks 2 and 4, five iterations of HALS and of the multiplicative update."""
    draw = Draw(2)  # Some of the four components of HALS die on the way, and the gradients stay well conditioned.
    vectors = {"x": 0.01 + torch.relu(draw.normal(3, 6, 16)), "grad_out": draw.normal(3, 6, 16)}
    for rank in (2, 4):
        u0, v0 = draw.uniform(6, rank), draw.uniform(16, rank)
        vectors |= {f"u0_R{rank}": u0, f"v0_R{rank}": v0}
        for name, solver in (("hals", hals), ("mu", multiplicative_update)):
            x = vectors["x"].clone().requires_grad_()
            u, v = solver(x, u0, v0, 5)
            y = u @ v.mT
            y.backward(vectors["grad_out"])
            results = {"u": u, "v": v, "y": y, "grad_x": _gradient(x)}
            vectors |= {f"{name}_{key}_R{rank}": value for key, value in results.items()}
    return vectors


def block(matricize: str) -> Vectors:
    """`x (2, 8, 2, 2, 16)`, E = 8, P = 8, MLP ratio 2: windows of 2 x 2 x 8."""
    module = Block(8, (2, 2, 16), 2, matricize=matricize, window=8, head_dim=8, num_iters=5)
    return _run(module, (2, 8, 2, 2, 16))


def network(matricize: str) -> Vectors:
    """`x (1, 2, 8, 8, 4)`, widths 4, 8, 8, E = 4, P = 4, two heads."""
    module = ReferenceFactorizer(2, 3, [4, 8, 8], [8, 8, 4], matricize, window=4, head_dim=4, num_heads=2)
    return _run(module, (1, 2, 8, 8, 4))


VECTORS: dict[str, Callable[[], Vectors]] = {
    "nmf_rank1": nmf_rank1,
    "nmf_rank_r": nmf_rank_r,
    "block_swin": partial(block, "swin"),
    "block_local": partial(block, "local"),
    "block_global": partial(block, "global"),
    "network_swin": partial(network, "swin"),
    "network_global": partial(network, "global"),
}


def _run(module: nn.Module, shape: tuple[int, ...]) -> Vectors:
    """Weights, input, outputs and all gradients of a module whose weights are drawn here."""
    draw = Draw()
    module.double()
    drawn = {name: 0.3 * draw.normal(*p.shape) for name, p in module.named_parameters()}
    drawn |= {name: draw.uniform(*b.shape) for name, b in module.named_buffers()}
    state = {name: value.float().double() for name, value in drawn.items()}
    module.load_state_dict(state)
    x = draw.normal(*shape).requires_grad_()
    outputs = module(x)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    grads = [draw.normal(*y.shape) for y in outputs]
    torch.autograd.backward(outputs, grads)
    vectors = {"x": x, "grad_x": _gradient(x)}
    for i, (y, grad) in enumerate(zip(outputs, grads, strict=True)):
        vectors |= {f"y{i}": y, f"grad_y{i}": grad}
    vectors |= {f"state/{name}": value for name, value in state.items()}
    return vectors | {f"grad/{name}": _gradient(p) for name, p in module.named_parameters()}


def _gradient(leaf: Tensor) -> Tensor:
    assert leaf.grad is not None
    return leaf.grad


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the files go; it is made if it is not there")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in VECTORS.items():
        vectors = {key: value.detach().float().numpy() for key, value in make().items()}
        np.savez_compressed(folder / f"{name}.npz", **vectors)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
