"""What the scanners of the benchmark do to an image, and its tables."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

pytest.importorskip("monai", reason="MONAI makes the images of scanner B: pip install '.[tune]'")

from benchmarks.scanner.adapt import print_adapted
from benchmarks.scanner.scanners import DARK, SCANNERS, scanned

SPACING = (1.0, 1.0, 1.0)
IMAGE = 100 + 50 * gaussian_filter(np.random.default_rng(0).random((1, 24, 28, 20)), (0, 2, 2, 2)).astype(np.float32)


def unit(image: np.ndarray) -> np.ndarray:
    low, high = np.percentile(image, (0.5, 99.5))
    return (image - low) / (high - low)


@pytest.mark.parametrize("scanner", SCANNERS)
def test_a_scanner_is_the_same_each_time_and_not_for_each_head(scanner: str) -> None:
    image = IMAGE.copy()
    first, again, other = (scanned(image, SPACING, scanner, case) for case in ("a", "a", "b"))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(image, IMAGE)
    assert first.shape == IMAGE.shape
    assert first.dtype == np.float32
    np.testing.assert_array_equal(scanned(image, SPACING, "A", "a"), IMAGE)
    # More strength, more shift; of an image in other units, the same one.
    shifts = [np.abs(scanned(image, SPACING, scanner, "a", strength) - IMAGE).mean() for strength in (0.2, 0.9)]
    assert shifts[0] < shifts[1]
    np.testing.assert_allclose(scanned(10 * image, SPACING, scanner, "a"), 10 * first, rtol=1e-3)


def test_the_tone_curve_of_b2_is_monotone_and_b3_inverts_what_is_dark() -> None:
    whole = unit(IMAGE).ravel()
    dark, bright = whole < DARK / 2, whole > DARK

    def slope(scanner: str, part: np.ndarray, strength: float) -> float:
        after = scanned(IMAGE, (1000.0, 1000.0, 1000.0), scanner, "a", strength).ravel()  # too coarse to be blurred
        return float(np.corrcoef(whole[part], after[part])[0, 1])

    assert slope("B2", dark, 1.0) > 0.3
    assert slope("B2", bright, 1.0) > 0.3
    assert slope("B3", dark, 1.0) < -0.3 < 0.3 < slope("B3", bright, 1.0)


def test_the_table_has_a_cell_a_number_of_cases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, cases, target in ((0, 1, 0.5), (0, 4, 0.7), (1, 4, 0.8)):
        run = {"method": "mmtl", "scanner": "B2", "cases": cases, "seed": seed}
        run |= {"target_dice": target, "source_dice": 0.85}
        (tmp_path / f"{cases}_{seed}.json").write_text(json.dumps(run))
    before = {"method": "nothing", "scanner": "B2", "cases": 0, "target_dice": 0.4, "source_dice": 0.9}
    (tmp_path / "before.json").write_text(json.dumps(before))
    print_adapted(tmp_path, (0, 1, 2))
    printed = capsys.readouterr().out.splitlines()
    assert "| mmtl | 0.500, 0.850 | 0.750 (0.700 to 0.800), 0.850 (0.850 to 0.850) |" in printed
    assert "| nothing | 0.400, 0.900 | 0.400, 0.900 |" in printed
    assert "| B2 | 1 labelled: B2, A | 4 labelled: B2, A |" in printed
    assert not [line for line in printed if line.startswith("| B1 |")]
    print_adapted(tmp_path, (1,))
    assert "| mmtl | 0.800, 0.850 |" in capsys.readouterr().out.splitlines()
