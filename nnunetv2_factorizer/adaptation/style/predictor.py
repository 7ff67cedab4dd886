"""nnU-Net's predictor with a gate before it: images of another scanner are restyled, the others are not touched."""

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from torch import Tensor

from nnunetv2_factorizer.adaptation.style.average import mean_of_predictions
from nnunetv2_factorizer.adaptation.style.record import Record
from nnunetv2_factorizer.adaptation.style.transfer import Transfer
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.tiles import uncompiled
from nnunetv2_factorizer.screen import Score

Gate = Callable[[nnUNetPredictor, Tensor], Score]
"""The screen with the statistics of the first fold: it gets the predictor and the preprocessed image `(C, *S)`."""


class StylePredictor(nnUNetPredictor):
    """Predicts as its parent does where the gate is shut; else the mean of the probabilities of restyled copies.

    What is set after a model was loaded into it:
        transfer: how images are restyled; None: no image is.
        gate: says which images are; None: all.
        record: of what was done.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.transfer: Transfer | None = None
        self.gate: Gate | None = None
        self.record: Record | None = None
        self._names: deque[str] = deque()

    def _manage_input_and_output_lists(self, *args: Any, **kwargs: Any) -> Any:
        lists = super()._manage_input_and_output_lists(*args, **kwargs)
        self._names = deque(Path(name).name for name in lists[1] or [])  # in the order in which images are predicted
        return lists

    @torch.inference_mode()
    def predict_logits_from_preprocessed_data(self, data: Tensor) -> Tensor:
        """Logits `(K, *S)` of a preprocessed image `(C, *S)`; in a cascade labels follow its channels."""
        name = self._names.popleft() if self._names else "image"
        if self.transfer is None:
            return super().predict_logits_from_preprocessed_data(data)
        channels = len(self.transfer.bank.preprocessing.channels)
        if len(data) < channels:
            raise UserError(
                f"{name} has {len(data)} channels, the model was trained on {channels}.",
                f"Give all of them, CASE_0000 to CASE_{channels - 1:04d}.",
            )
        image, entry = data[:channels].float(), dict[str, Any]()
        shifted = self._shifted(data, entry)
        if shifted and (reason := self.transfer.too_small(image)):
            entry["reason"], shifted = reason, False
        if not shifted:
            self._note(name, entry | {"restyled": False})
            return super().predict_logits_from_preprocessed_data(data)
        donors = self.transfer.choose(image)
        self._note(name, entry | {"restyled": True, "donors": donors.tolist()})
        predict = super().predict_logits_from_preprocessed_data
        copies = (torch.cat((copy, data[channels:])) for copy in self.transfer.copies(image, donors))
        return mean_of_predictions(map(predict, copies), self.label_manager)

    def _shifted(self, data: Tensor, entry: dict[str, Any]) -> bool:
        """What the gate says; the distance goes to `entry`."""
        if self.gate is None:
            return True
        # The image before has left the weights of the last fold in the network.
        uncompiled(self.network).load_state_dict(self.list_of_parameters[0])
        score = self.gate(self, data)
        entry |= {"distance": round(score.distance, 4), "shifted": score.shifted, "unusual": score.reasons}
        return score.shifted

    def _note(self, name: str, entry: dict[str, Any]) -> None:
        said = f"distance {entry['distance']:g}, " if "distance" in entry else ""
        done = f"restyled by {len(entry['donors'])} donors" if entry["restyled"] else "not restyled"
        print(f"{name}: {said}{done}" + (f" ({entry['reason']})" if "reason" in entry else ""))
        if self.record is not None:
            self.record.add(name, entry)
