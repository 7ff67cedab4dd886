"""One case, from its files to its score and its pictures."""

from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from nnunetv2_factorizer.inference.images import Case, Preprocessed, channel_names
from nnunetv2_factorizer.inference.load_image import load_image
from nnunetv2_factorizer.screen.pictures import slices
from nnunetv2_factorizer.screen.report import Shown
from nnunetv2_factorizer.screen.scoring import Score, score_image
from nnunetv2_factorizer.screen.statistics import Statistics


def screen_case(predictor: nnUNetPredictor, statistics: Statistics, threshold: float, case: Case) -> Shown:
    """Preprocesses a case as `nnUNetv2_predict` does, and compares it with the training cases.

    Args:
        predictor: initialised with the fold of the statistics alone.
        statistics: of the fold.
        threshold: of the distance.
        case: its files.

    Raises:
        UserError: the image cannot be used, see `load_image`.
    """
    image = load_image(predictor, case)
    score = score_image(predictor, image.data, statistics, threshold)
    channel = _most_unusual_channel(score, len(image.data))
    return Shown(case.name, score, channel_names(predictor.dataset_json)[channel], _slices(predictor, image, channel))


def _most_unusual_channel(score: Score, channels: int) -> int:
    """Descriptors come channel after channel, equally many of each."""
    deviations = list(score.deviations.values())
    largest = max(range(len(deviations)), key=lambda i: abs(deviations[i]))
    return largest * channels // len(deviations)


def _slices(predictor: nnUNetPredictor, image: Preprocessed, channel: int) -> list[bytes]:
    """In the axes of the image, not in those of the network."""
    plans, planned = predictor.plans_manager, list(predictor.configuration_manager.spacing)
    spacing = [image.properties["spacing"][axis] for axis in plans.transpose_forward]
    spacing[-len(planned) :] = planned  # a network in 2D: slices are not resampled
    backward = plans.transpose_backward
    return slices(image.data[channel].numpy().transpose(backward), [spacing[axis] for axis in backward])
