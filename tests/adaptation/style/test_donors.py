"""Which training images become donors."""

import builtins
from typing import Any

import numpy as np
import pytest

from nnunetv2_factorizer.adaptation.style import srsim
from nnunetv2_factorizer.adaptation.style.donors import log_amplitude_distances, random_order
from nnunetv2_factorizer.adaptation.style.transfer import Transfer, choose_radius
from nnunetv2_factorizer.errors import UserError
from tests.adaptation.style.images import bank, image


@pytest.mark.parametrize("d", [2, 3])
def test_the_image_itself_is_the_nearest_by_amplitude(d: int) -> None:
    images = [image(seed) for seed in range(5)]
    the_bank = bank(*images, d=d)
    distances = log_amplitude_distances(images[3], the_bank, 0.15)
    assert distances[3] < 1e-3 < np.delete(distances, 3).min()
    assert Transfer(the_bank, "fourier", "amplitude", 2, 0.15, []).choose(images[3])[0] == 3


def test_another_mean_is_no_distance() -> None:
    assert log_amplitude_distances(image(0) + 5, bank(image(0)), 0.15) < 1e-3


def test_random_donors_are_the_same_for_the_same_image() -> None:
    orders = [random_order(image(seed), 50).tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[2]) == list(range(50))


def test_a_bank_of_one_image_gives_that() -> None:
    for by in ("amplitude", "random"):
        transfer = Transfer(bank(image(1)), "histogram", by, 7, 0.15, [])
        donors = transfer.choose(image(0))
        assert donors.tolist() == [0]
        assert len(list(transfer.copies(image(0), donors))) == 1


def test_srsim_of_the_image_itself_is_1() -> None:
    pytest.importorskip("piq")
    images = [image(seed, (8, 45, 60)) for seed in range(3)]
    slices = [srsim.middle_slice(x) for x in images]
    assert slices[0].shape == (2, 128, 128)
    found = srsim.similarities(images[1], slices)
    assert found[1] == pytest.approx(1, abs=1e-4)
    assert max(found[0], found[2]) < 0.99
    assert Transfer(bank(*images), "fourier", "srsim", 1, 0.15, slices).choose(images[1]).tolist() == [1]


def test_piq_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_piq(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "piq":
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_piq)
    with pytest.raises(UserError, match=r"needs the package piq, which is not installed\.\nInstall it: pip install"):
        srsim.require_piq()


def test_radii_that_a_bank_cannot_serve() -> None:
    the_bank = bank(image(0), image(1))  # the longest axis is 8 x 3 mm, or 17 x 1.5
    assert choose_radius(the_bank, 0.1) == 0.1
    with pytest.raises(UserError, match=r"holds frequency 0 alone, .* is 0\.03922 cycles .*\.\nGive --radius above"):
        choose_radius(the_bank, 0.03)
    with pytest.raises(UserError, match=r"up to 0\.2 cycles per mm, not up to the radius 0\.3\.\n.* --radius 0\.3"):
        choose_radius(the_bank, 0.3)


def test_an_image_without_a_cycle_below_the_radius() -> None:
    small = image(0, (4, 6, 5))
    assert "one cycle in it is" in Transfer(bank(image(1)), "fourier", "random", 1, 0.06, []).too_small(small)
    assert Transfer(bank(image(1)), "histogram", "random", 1, 0.06, []).too_small(small) == ""
    assert Transfer(bank(image(1)), "fourier", "random", 1, 0.15, []).too_small(small) == ""
