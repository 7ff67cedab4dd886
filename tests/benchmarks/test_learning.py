"""The learning benchmark: what it makes of the files of its trainings, and that each of its methods builds."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from benchmarks.learning.__main__ import result_file
from benchmarks.learning.candidates import CANDIDATES
from benchmarks.learning.methods import METHODS
from benchmarks.learning.results import difference, plot, print_tables, read, seconds_of
from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.network import Factorizer

ARGUMENTS = {
    "n_stages": 4,
    "features_per_stage": [16, 16, 32, 32],
    "conv_op": "torch.nn.Conv3d",
    "strides": [1, 2, 2, 2],
}


def write(
    out: Path,
    method: str,
    cases: dict[str, float],
    seed: int = 0,
    seconds: tuple[float, ...] = (50, 100),
    fold: int = 0,
) -> None:
    curve = [{"iteration": 50 * (i + 1), "seconds": s, "dice": 0.8 + 0.1 * i} for i, s in enumerate(seconds)]
    run: dict[str, Any] = {
        "method": method, "data": "hippocampus", "iterations": 100, "parameters": 5_600_000, "curve": curve,
        "fold": fold, "seed": seed,
        "dice_of_cases": cases,
    }  # fmt: skip
    result_file(out, method, ("hippocampus", fold, 100, seed)).write_text(json.dumps(run))


def test_pairs_are_those_of_the_cases_that_both_have(tmp_path: Path) -> None:
    write(tmp_path, "nnU-Net", {"a": 0.5, "b": 0.6, "c": 0.7, "d": 0.1})
    write(tmp_path, "Conv + Muon", {"a": 0.6, "b": 0.72, "c": 0.78, "e": 0.9})
    write(tmp_path, "Conv + Muon", {"a": 0.7, "b": 0.68, "c": 0.82, "e": 0.9}, seed=1)
    write(tmp_path, "nnU-Net", {"a": 0.5, "b": 0.6, "c": 0.7, "d": 0.1}, seed=1)
    write(tmp_path, "nnU-Net", {"a": 0.9, "b": 0.9, "c": 0.9, "d": 0.9}, seed=2)  # without a partner
    groups = read(tmp_path)["hippocampus", 100]
    mean, low, high, number = difference(groups["Conv + Muon"], groups["nnU-Net"]) or (0, 0, 0, 0)
    # The differences are 0.15, 0.1 and 0.1; 4.303 is Student's t for two degrees of freedom.
    assert (mean, number) == (pytest.approx(0.35 / 3), 3)
    half = 4.302653 * (0.05 / 3**0.5) / 3**0.5
    assert (low, high) == (pytest.approx(mean - half, abs=1e-5), pytest.approx(mean + half, abs=1e-5))


def test_an_epoch_beside_other_work_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, "nnU-Net", {"a": 0.5}, seconds=(50, 100, 600, 650))
    assert seconds_of(read(tmp_path), "hippocampus", "nnU-Net") == pytest.approx(1)


def test_only_the_folds_that_are_asked_for_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "nnU-Net", {"a": 0.5, "b": 0.7})
    write(tmp_path, "nnU-Net", {"c": 0.9, "d": 0.9}, fold=1)
    for folds, row in ((None, "0, 0; 1, 0 | 0.750"), ([0], "0, 0 | 0.600"), ([1], "1, 0 | 0.900")):
        print_tables(tmp_path, "nnU-Net", folds)
        assert row in capsys.readouterr().out


def test_a_curve_without_seconds_is_drawn_over_iterations_only(tmp_path: Path) -> None:
    write(tmp_path, "nnU-Net", {"a": 0.5})
    path = result_file(tmp_path, "nnU-Net", ("hippocampus", 0, 100, 0))
    run = json.loads(path.read_text())
    run["curve"] = [{key: value for key, value in point.items() if key != "seconds"} for point in run["curve"]]
    path.write_text(json.dumps(run))
    assert seconds_of(read(tmp_path), "hippocampus", "nnU-Net") is None
    assert [len(axes.lines) for axes in plot(tmp_path, "hippocampus", ["nnU-Net"], [100]).axes] == [1, 0]


def test_table_and_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "nnU-Net", {"a": 0.5, "b": 0.6})
    write(tmp_path, "Conv + Muon", {"a": 0.6, "b": 0.8})
    print_tables(tmp_path, "nnU-Net")
    rows = capsys.readouterr().out.strip().splitlines()
    assert rows[4].startswith("| Conv + Muon | 5.60 M | 1.00 | 0, 0 | 0.700 | +0.150 (")
    assert rows[5] == "| nnU-Net | 5.60 M | 1.00 | 0, 0 | 0.550 |  |"
    axes = plot(tmp_path, "hippocampus", ["nnU-Net", "Conv + Muon", "ResEnc-M"], [100]).axes
    assert [line.get_label() for line in axes[0].lines] == ["nnU-Net, 100 iterations", "Conv + Muon, 100 iterations"]
    assert [list(line.get_xdata()) for line in axes[1].lines] == [[50, 100]] * 2


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_a_trainer(method: str) -> None:
    assert issubclass(METHODS[method].trainer(), nnUNetTrainer)


@pytest.mark.parametrize("name", CANDIDATES)
def test_every_candidate_is_a_network_that_learns_in_all_its_parts(name: str) -> None:
    choices = {**FACTORIZER.variants["Conv"], **CANDIDATES[name].choices}
    network = Factorizer(1, 3, patch_size=[16, 16, 16], **{**ARGUMENTS, **choices})
    CANDIDATES[name].change(network)
    output = network(torch.randn(1, 1, 16, 16, 16))
    assert output.shape == (1, 3, 16, 16, 16)
    output.square().mean().backward()
    heads = "decoder.seg_layers"  # of lower resolutions: without deep supervision they have no part in it
    assert all(p.grad is not None for n, p in network.named_parameters() if not n.startswith(heads))
