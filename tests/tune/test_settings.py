"""The sweeps, and which settings are the same computation."""

from typing import Any

import pytest
import torch

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.trained import TrainedModel, trained_network, tuned_network
from nnunetv2_factorizer.network import Factorizer
from nnunetv2_factorizer.tune.settings import (
    ITERATIONS,
    SWEEPS,
    TRAINED,
    WITHOUT_NMF,
    Setting,
    computation,
    make_settings,
    short_names,
)
from tests.tune.conftest import meta_network

BLOCKS = ["encoder.stages.0.0", "encoder.stages.1.0", "encoder.stages.2.0", "decoder.stages.0.0", "decoder.stages.1.0"]


def settings(model: TrainedModel, *sweeps: str, **changes: Any) -> dict[str, Setting]:
    network = meta_network(model, **changes)
    made = make_settings(network, model.arch_kwargs | changes, sweeps)
    assert len({setting.name for setting in made}) == len(made)
    return {setting.name: setting for setting in made}


@pytest.mark.parametrize("sweep", SWEEPS)
def test_trained_and_no_nmf_are_always_there(model: TrainedModel, sweep: str) -> None:
    made = settings(model, sweep)
    assert list(made)[:2] == [TRAINED, WITHOUT_NMF]
    assert made[TRAINED].changes == {}
    assert made[WITHOUT_NMF].changes == {"skip_nmf": BLOCKS}
    assert {setting.sweep for setting in made.values()} == {TRAINED, "skip", sweep}


def test_each_sweep(model: TrainedModel) -> None:
    made = settings(model, *SWEEPS)
    assert [made[f"T{t}"].changes for t in ITERATIONS] == [{"num_iters": t} for t in ITERATIONS]
    assert [made[f"keep{k}"].changes["skip_nmf"] for k in range(6)] == [BLOCKS[k:] for k in range(6)]
    names = zip(("E1", "E2", "E3", "D2", "D1"), BLOCKS, strict=True)
    assert all(made[f"without{short}"].changes == {"skip_nmf": [name]} for short, name in names)
    ranks = [name for name in made if name.startswith("rank")]
    assert ranks == [f"rank{r}_{solver}" for solver in ("hals", "mu") for r in (1, 2, 3, 4)]
    assert made["rank3_mu"].changes == {"rank": 3, "solver": "mu"}


def test_trained_iterations_are_among_them(model: TrainedModel) -> None:
    made = settings(model, "iterations", num_iters=[4, 4, 6])
    assert [int(s.tick) for s in made.values() if s.sweep == "iterations"] == [1, 2, 3, 4, 5, 6, 7, 10, 15, 20]


@pytest.mark.parametrize(("rank", "head_dim", "largest"), [(1, 8, 4), (3, 8, 6), (2, 2, 2)])
def test_ranks_go_to_twice_the_trained_where_matrices_allow_it(
    model: TrainedModel, rank: int, head_dim: int, largest: int
) -> None:
    made = settings(model, "rank", rank=rank, head_dim=head_dim)
    assert max(int(s.tick) for s in made.values() if s.sweep == "rank") == largest


def test_blocks_that_are_skipped_already_stay_skipped(model: TrainedModel) -> None:
    made = settings(model, "skip", "leave-one-out", skip_nmf=[BLOCKS[1]])
    assert made["keep1"].changes == {"skip_nmf": [BLOCKS[1], *BLOCKS[2:]]}
    assert made["withoutE3"].changes == {"skip_nmf": [BLOCKS[1], BLOCKS[2]]}
    assert "withoutE2" not in made
    assert "keep5" not in made


def test_unknown_sweep_is_named(model: TrainedModel) -> None:
    with pytest.raises(UserError, match=r"'ranks' is not one of the sweeps\.\nGive some of iterations, skip"):
        settings(model, "ranks")


def test_network_without_nmf_has_nothing_to_tune(model: TrainedModel) -> None:
    with pytest.raises(UserError, match="no block of this model computes an NMF"):
        settings(model, "rank", nmf=False)


@pytest.mark.parametrize(
    ("convolution_stages", "names"),
    [(0, ["E1", "E2", "E3-1", "E3-2", "E4", "D3", "D2", "D1"]), (2, ["E3-1", "E3-2", "E4", "D3"])],
)
def test_blocks_are_named_by_resolution_also_where_convolutions_stand_above(
    convolution_stages: int, names: list[str]
) -> None:
    network = Factorizer(
        1, 2, 4, 8, torch.nn.Conv2d, [1, 2, 2, 2], n_blocks_per_stage=[1, 1, 2, 1], position_embedding=False,
        convolution_stages=convolution_stages,
    )  # fmt: skip
    assert list(short_names(network).values()) == names


def test_same_computation_has_the_same_logits_and_another_has_others(model: TrainedModel) -> None:
    weights = trained_network(model, "0", torch.device("cpu")).state_dict()
    x = torch.randn(1, 2, 8, 16, 16)
    logits, computations = {}, {}
    for name, setting in settings(model, *SWEEPS).items():
        network = tuned_network(model, setting.changes, weights)
        computations[name] = computation(network)
        with torch.inference_mode():
            logits[name] = network(x)
    same = {name for name in logits if computations[name] == computations[TRAINED]}
    assert same == {TRAINED, "T5", "keep5", "rank1_hals", "rank1_mu"}
    for name, values in logits.items():
        for other, others in logits.items():
            assert torch.equal(values, others) or computations[name] != computations[other], (name, other)
    assert computations["keep4"] == computations["withoutD1"]
    for name in ("T1", WITHOUT_NMF, "keep4", "rank2_hals"):
        assert not torch.equal(logits[name], logits[TRAINED])
    assert not torch.equal(logits["rank2_hals"], logits["rank2_mu"])
