"""What one factorization of the network saw: its components, and what they leave out."""

import torch
from torch import Tensor

from nnunetv2_factorizer.network.block import WrappedNMF


def component_maps(mixer: WrappedNMF, x: Tensor) -> Tensor:
    """The spatial factor of every component times the length of its channel factor: `||f_r|| g_r` of `X ~ F G^T`.

    In the windows of one grid the reconstruction is the sum of these maps times unit vectors of the channels, so that
    the maps of two images have the same scale. Maps of two shifted grids are averaged, as the reconstructions are.

    Args:
        mixer: a factorization that is not skipped.
        x: its input, `(B, C, *S)`.

    Returns:
        `(B, heads * rank, *S)`, non-negative, all components of a head side by side.
    """
    assert mixer.matricize is not None  # select_layers has seen to it.
    size = x.shape[2:]
    matrices = mixer.matricize(torch.relu(x))
    f, g = mixer.nmf.decompose(matrices, mixer.matricize.fit(mixer.nmf.v0, size))
    scaled = g * torch.linalg.vector_norm(f, dim=-2, keepdim=True)
    return mixer.matricize.inverse(scaled.mT, size)


def energies(x: Tensor, reconstruction: Tensor) -> Tensor:
    """At each voxel the squared length of what the reconstruction lost, and of what was to be reconstructed.

    Args:
        x: the input of a factorization, `(B, C, *S)`.
        reconstruction: its output, `(B, C, *S)`.

    Returns:
        `(B, 2, *S)`.
    """
    x = torch.relu(x).float()
    return torch.stack([(x - reconstruction).square().sum(1), x.square().sum(1)], dim=1)
