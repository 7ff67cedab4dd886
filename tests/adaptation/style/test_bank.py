"""The file of a style bank: what is in it, and what is said of another one."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from nnunetv2_factorizer.adaptation.style.bank import Bank
from nnunetv2_factorizer.adaptation.style.preprocessing import Preprocessing
from nnunetv2_factorizer.errors import UserError
from tests.adaptation.style.images import bank, image


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a bank of two images of different sizes."""
    bank(image(0), image(1, (6, 24, 13))).save(tmp_path / "style_bank.npz")
    return tmp_path / "style_bank.npz"


def test_it_is_read_as_it_was_written(path: Path) -> None:
    written, read = bank(image(0), image(1, (6, 24, 13))), Bank.load(path)
    assert dataclasses.replace(read, styles=[]) == dataclasses.replace(written, styles=[])
    for a, b in zip(read.styles, written.styles, strict=True):
        for field in dataclasses.fields(a):
            np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name))


def test_nothing_else_is_in_it(path: Path) -> None:
    with np.load(path, allow_pickle=False) as arrays:
        assert set(arrays) == {
            "plans", "data_identifier", "checkpoint_sha256", "spacing", "channels", "normalisation", "masked", "radius",
            "steps", "quantiles", "amplitudes_00000", "amplitudes_00001",
        }  # fmt: skip
        amplitudes = arrays["amplitudes_00000"]
    assert (amplitudes >= 0).all()
    assert amplitudes.dtype == np.float32
    assert amplitudes[0].size < image(0)[0].numel() / 2
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_no_bank(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no style bank\.\nMake it with `nnUNetv2_factorizer_style_bank`"):
        Bank.load(tmp_path / "style_bank.npz")


def test_damaged_files(path: Path) -> None:
    content = path.read_bytes()
    with np.load(path) as arrays:
        sound = dict(arrays)
    without = {name: array for name, array in sound.items() if name != "steps"}
    for damaged in (
        {**sound, "amplitudes_00001": sound["amplitudes_00001"] * np.nan},
        {**sound, "quantiles": sound["quantiles"][:, :1]},
        {**sound, "quantiles": sound["quantiles"][:1]},
        without,
    ):
        np.savez(path, **damaged)
        with pytest.raises(UserError, match=r"is no usable style bank: .*\n?.*\nDelete it, and make it again"):
            Bank.load(path)
    for text in (b"", content[: len(content) // 2], b"no zip"):
        path.write_bytes(text)
        with pytest.raises(UserError, match="is no usable style bank"):
            Bank.load(path)


def test_the_bank_of_another_model(path: Path) -> None:
    the_bank = Bank.load(path)
    own = {
        "plans": the_bank.plans,
        "data_identifier": the_bank.data_identifier,
        "sha256": the_bank.checkpoint_sha256,
        "made": the_bank.preprocessing,
    }
    the_bank.check_model(path, **own)  # type: ignore[arg-type]
    two = dataclasses.replace(the_bank.preprocessing, spacing=(1.0, 1.0))
    one_channel = Preprocessing(two.spacing, ("FLAIR",), two.normalisation[:1], (False,))
    one_channel = dataclasses.replace(one_channel, spacing=the_bank.preprocessing.spacing)
    for other, cause in (
        ({"plans": "nnUNetResEncUNetMPlans"}, "plans is nnUNetPlans there, nnUNetResEncUNetMPlans here"),
        ({"made": two}, "spacing is 3.0, 1.0, 1.5 there, 1.0, 1.0 here"),
        ({"made": one_channel}, "channels is T1, T2 there, FLAIR here"),
        ({"sha256": "1" * 64}, "SHA-256 of the checkpoint is 0000"),
    ):
        with pytest.raises(UserError, match=re.escape(cause) + r"(.|\n)*Delete it and make it again"):
            the_bank.check_model(path, **{**own, **other})  # type: ignore[arg-type]
