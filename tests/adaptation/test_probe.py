"""A fresh linear head tells what is in features, and chance where there is nothing."""

import numpy as np
import pytest
import torch

from nnunetv2_factorizer.adaptation.probe import case_features, linear_probe
from nnunetv2_factorizer.errors import UserError
from tests.concepts.regions import NETWORKS, make_predictor
from tests.screen.cases import as_tensor, make_image


def test_what_is_in_the_features_is_found_and_what_is_not_is_not() -> None:
    rng = np.random.default_rng(0)
    values = {f"case_{i}": "B" if i % 4 == 0 else "A" for i in range(60)}
    noise = {case: rng.normal(size=5).astype(np.float32) for case in values}
    told = {case: x + 6 * (values[case] == "B") for case, x in noise.items()}
    assert linear_probe(told, values).accuracy > 0.95
    nothing = linear_probe(noise, values)
    assert nothing.accuracy == pytest.approx(0.5, abs=0.15)  # not 0.75, the share of A
    assert nothing.chance == 0.5
    assert linear_probe(told, values) == linear_probe(dict(reversed(told.items())), values)


@pytest.mark.parametrize("sites", ["AAAA", "AAAB"])
def test_too_few_values_or_cases(sites: str) -> None:
    features = {str(i): np.zeros(3, np.float32) for i in range(4)}
    with pytest.raises(UserError, match="the values of 4 cases: A"):
        linear_probe(features, dict(zip(features, sites, strict=True)))


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("network", NETWORKS)
def test_features_of_a_case_see_its_contrast(network: str, dimensions: int) -> None:
    predictor = make_predictor(network, dimensions)
    widths = predictor.network.encoder.output_channels
    image = as_tensor(make_image(0, (9, 20, 20)))
    plain, changed = (case_features(predictor, x, (0, -1)) for x in (image, image.exp()))
    assert plain.shape == (2 * (widths[0] + widths[-1]),)
    assert not np.allclose(plain, changed, atol=0.02)
    np.testing.assert_allclose(plain, case_features(predictor, image.clone(), (0, -1)), rtol=1e-5)
    assert not torch.is_inference(image)
