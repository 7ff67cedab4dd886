"""What can be changed of a trained Factorizer without training it again, in the sweeps of the paper's figure 8."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.factorization.solvers import SOLVERS
from nnunetv2_factorizer.network import Factorizer

SWEEPS = ("iterations", "skip", "leave-one-out", "rank")
ITERATIONS = (1, 2, 3, 5, 7, 10, 15, 20)
TRAINED = "trained"
WITHOUT_NMF = "keep0"
"""The names of the two settings that are always there: as trained, and the identity in place of every NMF."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One position of the dial."""

    name: str
    """Stands in the name of the plans: `T3`, `keep2` (the NMF of the first two blocks), `withoutE3`, `rank2_hals`."""
    sweep: str
    """One of `SWEEPS`, or `TRAINED`."""
    tick: str
    """Where it is on the axis of its sweep."""
    description: str
    changes: dict[str, Any]
    """Of the arguments of the trained `Factorizer`."""


def make_settings(trained: Factorizer, arch_kwargs: dict[str, Any], sweeps: Sequence[str]) -> list[Setting]:
    """The trained setting, that without any NMF, and those of the sweeps; each comes once.

    Args:
        trained: the network, on any device.
        arch_kwargs: the arguments that it was made with, all of them.
        sweeps: some of `SWEEPS`.

    Raises:
        UserError: a sweep is unknown, or the network has no NMF.
    """
    unknown = [sweep for sweep in sweeps if sweep not in SWEEPS]
    if unknown:
        raise UserError(f"{unknown[0]!r} is not one of the sweeps.", f"Give some of {', '.join(SWEEPS)} to --sweep.")
    layers = {name: block.mixer.nmf for name, block in trained.blocks.items() if block.mixer.matricize is not None}
    if not layers:
        raise UserError(
            "no block of this model computes an NMF: there is nothing to tune.", "Name another one with -p."
        )
    tuned = {
        "iterations": _iterations([layer.num_iters for layer in layers.values()]),
        "skip": _keep_first(list(layers), list(arch_kwargs["skip_nmf"]), short_names(trained)),
        "leave-one-out": _leave_one_out(list(layers), list(arch_kwargs["skip_nmf"]), short_names(trained)),
        "rank": _ranks(max(layer.rank for layer in layers.values()), _largest_rank(trained)),
    }
    always = [Setting(name=TRAINED, sweep=TRAINED, tick="", description="as trained", changes={}), tuned["skip"][0]]
    chosen = [setting for name in SWEEPS if name in sweeps for setting in tuned[name] if setting not in always]
    return always + chosen


def computation(network: Factorizer) -> tuple[Any, ...]:
    """What the blocks compute: equal for two settings of the same weights, and they predict the same, bit by bit.

    The closed form of rank 1 does not ask for the solver, and a block that is skipped for nothing.
    """
    running = {name: b.mixer.nmf for name, b in network.blocks.items() if b.mixer.matricize is not None}
    return tuple(
        (name, layer.rank, layer.num_iters, None if layer.closed_form else layer.solver)
        for name, layer in running.items()
    )


def short_names(network: Factorizer) -> dict[str, str]:
    """`E1`, `E2`, ... down the encoder, `D4` to `D1` up the decoder, counted by resolution, for the Factorizer blocks.

    Where a stage has several blocks they are `E1-1`, `E1-2` and so on.
    """
    stages = [name.rpartition(".")[0] for name in network.blocks]
    n_stages = len(network.encoder.stages)
    short = {}
    for name, stage in zip(network.blocks, stages, strict=True):
        half, _, level, block = name.split(".")
        label = f"E{int(level) + 1}" if half == "encoder" else f"D{n_stages - 1 - int(level)}"
        short[name] = label if stages.count(stage) == 1 else f"{label}-{int(block) + 1}"
    return short


def _iterations(trained: Sequence[int]) -> list[Setting]:
    return [
        Setting(name=f"T{t}", sweep="iterations", tick=str(t), description=f"T = {t}", changes={"num_iters": t})
        for t in sorted({*ITERATIONS, *trained})
    ]


def _keep_first(layers: list[str], skipped: list[str], short: dict[str, str]) -> list[Setting]:
    ticks = ["none", *(short[name] for name in layers)]
    settings = []
    for k, tick in enumerate(ticks):
        description = "no NMF at all" if k == 0 else f"no NMF after {tick}"
        changes = {"skip_nmf": skipped + layers[k:]}
        settings.append(Setting(name=f"keep{k}", sweep="skip", tick=tick, description=description, changes=changes))
    return settings


def _leave_one_out(layers: list[str], skipped: list[str], short: dict[str, str]) -> list[Setting]:
    settings = []
    for layer in layers:
        tick, changes = short[layer], {"skip_nmf": [*skipped, layer]}
        name, description = f"without{tick}", f"no NMF in {tick}"
        settings.append(Setting(name=name, sweep="leave-one-out", tick=tick, description=description, changes=changes))
    return settings


def _ranks(trained: int, largest: int) -> list[Setting]:
    settings = []
    for solver in SOLVERS:
        for r in range(1, min(max(4, 2 * trained), largest) + 1):
            name, description = f"rank{r}_{solver}", f"rank {r}, {solver.upper()}"
            changes = {"rank": r, "solver": solver}
            settings.append(Setting(name=name, sweep="rank", tick=str(r), description=description, changes=changes))
    return settings


def _largest_rank(trained: Factorizer) -> int:
    """That every block can have: a skipped one, too, is made with the rank."""
    mixers = [block.mixer for block in trained.blocks.values()]
    return min(min(mixer.nmf.size) for mixer in mixers if hasattr(mixer, "nmf"))
