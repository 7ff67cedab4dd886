"""Maps come back to the image exactly as nnU-Net's logits do."""

from pathlib import Path

import numpy as np
import pytest
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_factorizer.inference.image_space import to_image_space
from nnunetv2_factorizer.inference.images import preprocess, read, segment
from tests.inference.small_predictor import noise, small_predictor, write_channels
from tests.training.small_trainer import plans


@pytest.mark.parametrize("transpose", [[0, 1, 2], [2, 0, 1]])
@pytest.mark.parametrize("spacing", [[2.0, 1.1, 0.8], [1.1, 0.8]], ids=["3D", "2D"])
def test_where_a_map_is_positive_is_where_its_logits_win(
    tmp_path: Path, transpose: list[int], spacing: list[float]
) -> None:
    """Transposed, cropped and resampled, with thick slices."""
    channel = noise(9, 20, 14)
    channel[:, :4] = 0
    files = write_channels(tmp_path, channel, channel, Spacing=(1.0, 1.5, 3.0))
    the_plans = plans() | {"transpose_forward": transpose, "transpose_backward": [transpose.index(i) for i in range(3)]}
    the_plans["configurations"]["3d_fullres"] |= {"spacing": spacing, "patch_size": [16] * len(spacing)}
    predictor = small_predictor()
    predictor.plans_manager = PlansManager(the_plans)
    predictor.configuration_manager = predictor.plans_manager.get_configuration("3d_fullres")
    case = preprocess(predictor, *read(predictor, files))
    preprocessed = noise(*case.data.shape[1:]) - 5
    logits = case.data.new_tensor(np.stack([np.zeros_like(preprocessed), preprocessed]))
    image = to_image_space(preprocessed, predictor, case.properties)
    np.testing.assert_array_equal(image > 0, segment(predictor, logits, case.properties) == 1)
    assert image.shape == channel.shape
    assert (image[:, :4] == 0).all()
    assert (image > 0).any()
