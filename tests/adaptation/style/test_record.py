"""`style.json`: what a run that goes on may continue."""

from pathlib import Path

import pytest

from nnunetv2_factorizer.adaptation.style.record import FILE, Record
from nnunetv2_factorizer.errors import UserError

SETTINGS = {"gate": "open", "method": "fourier"}


def test_a_run_goes_on_with_the_same_settings(tmp_path: Path) -> None:
    Record.begin(tmp_path, SETTINGS, [], continuing=False).add("a", {"restyled": True})
    again = Record.begin(tmp_path, SETTINGS, ["a.nii.gz"], continuing=True)
    assert again.cases == {"a": {"restyled": True}}
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(UserError, match=r"was begun with other settings: gate open, method fourier\.\nGo on with"):
        Record.begin(tmp_path, {"gate": "shut"}, ["a.nii.gz"], continuing=True)
    assert (tmp_path / FILE).read_bytes() == before
    assert Record.begin(tmp_path, SETTINGS, ["a.nii.gz"], continuing=False).cases == {}


def test_predictions_of_an_unknown_origin(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds a\.nii\.gz, but no style\.json that says how it was made"):
        Record.begin(tmp_path, SETTINGS, ["a.nii.gz"], continuing=True)
    assert Record.begin(tmp_path, {"gate": "shut"}, ["a.nii.gz"], continuing=True).cases == {}


def test_a_damaged_record(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"cases": {}}'):
        (tmp_path / FILE).write_text(text)
        with pytest.raises(UserError, match=r"style\.json is damaged: "):
            Record.begin(tmp_path, SETTINGS, [], continuing=True)
