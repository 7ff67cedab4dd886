"""The predictor with its gate, beside nnU-Net's."""

from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from torch import Tensor

from nnunetv2_factorizer.adaptation.style.average import mean_of_predictions
from nnunetv2_factorizer.adaptation.style.fourier import swap_amplitudes
from nnunetv2_factorizer.adaptation.style.histogram import match_quantiles
from nnunetv2_factorizer.adaptation.style.predictor import StylePredictor
from nnunetv2_factorizer.adaptation.style.record import Record
from nnunetv2_factorizer.adaptation.style.transfer import Transfer
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.screen import Score
from tests.adaptation.style.images import bank, image
from tests.inference.small_predictor import small_predictor


def said(distance: float, shifted: bool) -> Score:
    """By a screen."""
    return Score(distance, shifted, None, {})


IMAGES = [image(seed) for seed in range(1, 4)]
BANK = bank(*IMAGES)
X = image(0)


def predictors(folds: int = 1) -> tuple[StylePredictor, nnUNetPredictor]:
    """Ours and nnU-Net's of the same weights."""
    torch.manual_seed(0)
    stock = small_predictor(folds)
    ours = StylePredictor(use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
    ours.manual_initialization(
        stock.network, stock.plans_manager, stock.configuration_manager, stock.list_of_parameters, stock.dataset_json,
        "nnUNetTrainer", (0, 1, 2),
    )  # fmt: skip
    return ours, stock


def test_shut_it_is_nnunets_predictor(tmp_path: Path) -> None:
    ours, stock = predictors(folds=2)
    expected = stock.predict_logits_from_preprocessed_data(X)
    assert torch.equal(ours.predict_logits_from_preprocessed_data(X), expected)
    ours.transfer = Transfer(BANK, "histogram", "amplitude", 2, 0.15, [])
    ours.gate = lambda predictor, data: said(0.7, False)
    ours.record = Record(tmp_path / "style.json", {})
    assert torch.equal(ours.predict_logits_from_preprocessed_data(X), expected)
    assert ours.record.cases == {"image": {"distance": 0.7, "shifted": False, "unusual": [], "restyled": False}}


@pytest.mark.parametrize("method", ["histogram", "fourier"])
def test_open_it_is_the_mean_of_restyled_copies(method: str, tmp_path: Path) -> None:
    ours, stock = predictors()
    ours.transfer = Transfer(BANK, method, "amplitude", 2, 0.15, [])
    ours.gate = lambda predictor, data: said(3.0, True)
    ours.record = Record(tmp_path / "style.json", {})
    found = ours.predict_logits_from_preprocessed_data(X)
    donors = ours.record.cases["image"]["donors"]
    assert len(donors) == 2
    copies = []
    for style in (BANK.styles[donor] for donor in donors):
        if method == "fourier":
            copies.append(swap_amplitudes(X, style, BANK.preprocessing, 0.15))
        else:
            copies.append(match_quantiles(X, style, BANK.preprocessing))
    predictions = [stock.predict_logits_from_preprocessed_data(copy) for copy in copies]
    assert torch.equal(found, mean_of_predictions(predictions, stock.label_manager))
    assert not torch.equal(found, stock.predict_logits_from_preprocessed_data(X))


def test_the_gate_sees_the_first_fold(tmp_path: Path) -> None:
    """A case that was predicted before leaves the weights of the last one."""
    ours, _ = predictors(folds=2)
    ours.transfer = Transfer(BANK, "histogram", "random", 1, 0.15, [])
    seen = []

    def gate(predictor: nnUNetPredictor, data: Tensor) -> Score:
        seen.append({name: weight.clone() for name, weight in predictor.network.state_dict().items()})
        return said(0.0, False)

    ours.gate = gate
    for _ in range(2):
        ours.predict_logits_from_preprocessed_data(X)
    first = ours.list_of_parameters[0]
    assert all(torch.equal(weights[name], first[name]) for weights in seen for name in first)


def test_labels_of_a_cascade_are_no_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, _ = predictors()
    ours.transfer = Transfer(BANK, "fourier", "amplitude", 1, 0.15, [])
    labels = (torch.rand(1, *X.shape[1:]) > 0.5).float()
    seen = []

    def predict(self: Any, data: Tensor) -> Tensor:
        seen.append(data)
        return torch.zeros(2, *data.shape[1:])

    monkeypatch.setattr(nnUNetPredictor, "predict_logits_from_preprocessed_data", predict)
    ours.predict_logits_from_preprocessed_data(torch.cat((X, labels)))
    assert torch.equal(seen[0][2:], labels)
    assert not torch.equal(seen[0][:2], X)


def test_an_image_without_a_cycle_is_predicted_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours, stock = predictors()
    ours.transfer = Transfer(BANK, "fourier", "amplitude", 2, 0.06, [])
    small = image(0, (4, 6, 5))
    expected = stock.predict_logits_from_preprocessed_data(small)
    assert torch.equal(ours.predict_logits_from_preprocessed_data(small), expected)
    assert "not restyled (one cycle in it is" in capsys.readouterr().out


def test_an_image_with_too_few_channels() -> None:
    ours, _ = predictors()
    ours.transfer = Transfer(BANK, "histogram", "amplitude", 2, 0.15, [])
    with pytest.raises(UserError, match=r"image has 1 channels, the model was trained on 2\.\nGive all of them"):
        ours.predict_logits_from_preprocessed_data(X[:1])
