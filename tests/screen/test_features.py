"""Early features beside a plain formulation: each voxel once, no padding, and nothing of the network after them."""

import pytest
import torch
from torch import Tensor, nn

from nnunetv2_factorizer.screen.features import early_features
from tests.concepts.regions import NETWORKS, make_predictor


def plain(outputs: list[Tensor]) -> Tensor:
    """Of the outputs `(C, *S)` of the convolutions."""
    means = [output.double().flatten(1).mean(1) for output in outputs]
    deviations = [output.double().flatten(1).std(1, correction=0).log() for output in outputs]
    return torch.cat([*means, *deviations])


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("network_name", NETWORKS)
def test_one_window(network_name: str, dimensions: int) -> None:
    predictor = make_predictor(network_name, dimensions)
    data = torch.randn(2, 3 if dimensions == 2 else 24, 24, 24)
    modules = predictor.network.encoder.modules()
    convolutions = [m for m in modules if isinstance(m, nn.Conv2d | nn.Conv3d) and m.groups == 1]
    seen: list[list[Tensor]] = []
    for module in convolutions:
        module.register_forward_hook(lambda module, inputs, output: seen[-1].append(output[0]))
    with torch.inference_mode():
        for x in data.unbind(1) if dimensions == 2 else [data]:
            seen.append([])
            predictor.network(x[None])
    expected = plain([torch.stack([slices[i] for slices in seen], 1) for i in range(3)])
    torch.testing.assert_close(torch.from_numpy(early_features(predictor, data)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(10, 20, 15), (24, 24, 24), (10, 30, 50), (49, 24, 25)])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_each_voxel_of_the_image_counts_once(size: tuple[int, ...], dimensions: int) -> None:
    """With convolutions that look at no neighbours, windows and padding make no difference."""
    predictor = make_predictor("PlainConvUNet", dimensions)
    convolution = nn.Conv2d if dimensions == 2 else nn.Conv3d
    layers = [convolution(2, 3, 1), nn.LeakyReLU(), convolution(3, 5, 1), nn.LeakyReLU(), convolution(5, 4, 1)]
    predictor.network = nn.Sequential(*layers)
    data = torch.randn(2, *size)
    with torch.inference_mode():
        x = data.movedim(1, 0) if dimensions == 2 else data[None]
        outputs = [predictor.network[: i + 1](x).movedim(0, 1).flatten(1) for i in (0, 2, 4)]
    features = torch.from_numpy(early_features(predictor, data))
    torch.testing.assert_close(features, plain(outputs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("network_name", NETWORKS)
def test_the_rest_of_the_network_does_not_run(network_name: str) -> None:
    predictor = make_predictor(network_name, 3)
    ran: list[nn.Module] = []
    handle = predictor.network.decoder.register_forward_pre_hook(lambda module, inputs: ran.append(module))
    early_features(predictor, torch.randn(2, 24, 24, 24))
    assert not ran
    handle.remove()
    assert not any(module._forward_hooks for module in predictor.network.modules())
    with torch.inference_mode():  # the network works as before
        assert predictor.network(torch.randn(1, 2, 24, 24, 24)).shape[2:] == (24, 24, 24)
