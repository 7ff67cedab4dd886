"""One norm a site, the plain companion of CateNorm: domain-specific norms (Chang et al., CVPR 2019) for nnU-Net.

Each norm of the network has its own scale and shift for each site, everything else is shared:

    norm_c(x; site) = gamma_c,site (x - mu_c) / sigma_c + beta_c,site

In the paper it is a batch norm, with statistics of its own for each site as well. Instance and layer norms take their
statistics from the image, so there is nothing else to keep apart.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from nnunetv2_factorizer.adaptation.catenorm.norms import replace_norms
from nnunetv2_factorizer.errors import UserError

MARK = ".of_site."
"""In the names of weights that a site has for itself, before its number."""


class Sites:
    """The sites that the images of the present batch are from, which all norms of a network look at."""

    def __init__(self) -> None:
        self.of_images: Sequence[int] = (0,)
        """A number an image, or one for all."""


class SiteNorm(nn.Module):
    """In place of a norm on `(B, C, *S)`: `number` copies of it, one a site."""

    def __init__(self, norm: nn.Module, number: int, sites: Sites) -> None:
        super().__init__()
        self.of_site = nn.ModuleList(deepcopy(norm) for _ in range(number))
        self.sites = sites

    def forward(self, x: Tensor) -> Tensor:
        sites = self.sites.of_images
        if len(set(sites)) == 1:
            y: Tensor = self.of_site[sites[0]](x)
            return y
        return torch.cat([self.of_site[site](image) for site, image in zip(sites, x.split(1), strict=True)])


def give_sites(network: nn.Module, number: int) -> Sites:
    """Replaces all norms of a network; the sites that it gives are to be told before each batch.

    Raises:
        UserError: the network has no norm that can be replaced.
    """
    sites = Sites()
    replace_norms([network], lambda norm: SiteNorm(norm, number, sites))
    return sites


def weights_of_site(weights: Mapping[str, Tensor], site: int) -> dict[str, Tensor]:
    """Of all weights those of the plain network as it is for one site."""
    own = f"{MARK}{site}."
    return {name.replace(own, "."): weight for name, weight in weights.items() if MARK not in name or own in name}


def refuse_several_sites(network: nn.Module, weights: Mapping[str, Tensor], *_: Any) -> None:
    """A hook before weights are loaded: the plain network takes those of one site.

    Raises:
        UserError: they are of all sites.
    """
    several = any(MARK in name for name in weights)
    if several and not any(isinstance(module, SiteNorm) for module in network.modules()):
        raise UserError(
            "this checkpoint has a norm for each site, and nobody has said which site the images are from.",
            "Name the checkpoint of the site, which lies beside it, such as -chk checkpoint_site_A.pth.",
        )
