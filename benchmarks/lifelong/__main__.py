"""What is kept over stages, on real MRI: hippocampus in five stages that slide from scanner A to B3.

    python -m benchmarks.lifelong run -o OUT [--arm NAME ...] [--iterations 250] [--seed 0] [--jobs 2]
    python -m benchmarks.lifelong table -o OUT

Each arm is a pool in nnU-Net's folder of results, trained stage after stage on 2 mm voxels; a JSON file an arm is left
in OUT. The environment variables of nnU-Net must be set. What was interrupted goes on, what is in OUT is not repeated.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import torch
from nnunetv2.paths import nnUNet_results

from benchmarks.learning.training import ITERATIONS_PER_EPOCH
from benchmarks.lifelong.stages import DATASETS, PLANNED, prepare_stages
from benchmarks.measure import device, machine
from benchmarks.processes import run_all
from nnunetv2_factorizer.ext_trainer import VARIABLE, trainers_folder
from nnunetv2_factorizer.lifelong import pool as pools
from nnunetv2_factorizer.lifelong import report, scores
from nnunetv2_factorizer.lifelong.pool import read_pool
from nnunetv2_factorizer.lifelong.stage import StageData
from nnunetv2_factorizer.lifelong.training import Wanted, fill_row, train_stage
from nnunetv2_factorizer.models.atomic import replacing

ARMS = {
    "joint": ("joint", "min"),
    "sequential": ("sequential", "min"),
    "EWC": ("ewc", "min"),
    "LwF": ("lwf", "min"),
    "rehearsal": ("rehearsal", "min"),
    "ODEx, min": ("odex", "min"),
    "ODEx, mean": ("odex", "mean"),
    "ODEx, sum": ("odex", "sum"),
}
"""Method and history of each."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("action", choices=("run", "run-one", "table"))
    add("-o", type=Path, required=True)
    add("--arm", nargs="+", choices=ARMS, default=list(ARMS), help="default: all")
    add("--iterations", type=int, default=250, help="of a stage, default: 250")
    add("--seed", type=int, default=0)
    add("--jobs", type=int, default=2, help="arms at once, default: 2")
    args = parser.parse_args()
    if args.iterations % ITERATIONS_PER_EPOCH:
        parser.error(f"--iterations must be a multiple of {ITERATIONS_PER_EPOCH}")
    if args.action == "table":
        print_table(args.o)
    elif args.action == "run":
        prepare_stages()  # before several arms need it at once
        args.o.mkdir(parents=True, exist_ok=True)
        given = ["-o", str(args.o), "--iterations", str(args.iterations), "--seed", str(args.seed)]
        run_all({_file(args, arm): ["-m", "benchmarks.lifelong", "run-one", *given, "--arm", arm] for arm in args.arm},
                args.jobs)  # fmt: skip
    else:
        torch.set_num_threads(1)
        file = _file(args, args.arm[0])
        pool = Path(nnUNet_results) / "lifelong" / file.stem
        result = run(args.arm[0], pool, args.iterations, args.seed)
        with replacing(str(file)) as unfinished:
            Path(unfinished).write_text(json.dumps(result, indent=1), encoding="utf-8")


def run(arm: str, folder: Path, iterations: int, seed: int) -> dict[str, Any]:
    """Trains the stages that the pool does not know yet; what its evaluation says.

    Args:
        arm: one of `ARMS`.
        folder: of its pool.
        iterations: of a stage.
        seed: of the first weights and all that is drawn.
    """
    plans_name, (method, history) = prepare_stages(), ARMS[arm]
    os.environ["BENCH_EPOCHS"], os.environ["BENCH_SEED"] = str(iterations // ITERATIONS_PER_EPOCH), str(seed)
    os.environ[VARIABLE] = os.pathsep.join([str(Path(__file__).parent / "trainers"), str(trainers_folder())])
    folder = folder.absolute()
    pool = read_pool(folder) if (folder / pools.FILE).exists() else None
    if pool is not None:  # an interrupted row; a cell that was not measured in its time stays empty
        fill_row(pool, folder, device(), show_progress=False)
    for dataset in DATASETS[0 if pool is None else len(pool.stages) :]:
        begun = (folder / pools.MODELS / dataset).exists()
        wanted = Wanted(
            folder=folder, data=StageData(dataset, plans_name, "0"), device=device(), method=method, history=history,
            configuration=PLANNED.configuration, trainer="nnUNetTrainerBench_Lifelong", goes_on=begun,
            show_progress=False,
        )  # fmt: skip
        pool = train_stage(wanted)
    assert pool is not None
    report.write(folder, pool, scores.matrix(pool, folder))
    evaluation = json.loads((folder / report.FILES[1]).read_text(encoding="utf-8"))
    histories = [list(member.history) for member in pool.members]
    settings = {"arm": arm, "iterations": iterations, "seed": seed, "machine": machine()}
    return {**settings, **evaluation, "histories": histories}


def print_table(out: Path) -> None:
    """Members, Dice, BWT and FWT of each arm, and its last row: Dice on each stage after all of them."""
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(out.glob("*.json"))]
    stages = [f"stage {number + 1}" for number in range(len(DATASETS))]
    print(f"| | iterations a stage | members | Dice | BWT | FWT | {' | '.join(stages)} |")
    print("| --- |" + " --- |" * (5 + len(stages)))
    for arm in ARMS:
        for result in (result for result in runs if result["arm"] == arm):
            values = [result["dice"], result["bwt"], result["fwt"], *result["matrix"][-1]]
            cells = " | ".join("" if value is None else f"{value:.3f}" for value in values)
            print(f"| {arm} | {result['iterations']} | {result['members']} | {cells} |")


def _file(args: argparse.Namespace, arm: str) -> Path:
    name = f"{arm.replace(', ', '_')}_{args.iterations}_seed{args.seed}.json"
    return args.o / name


if __name__ == "__main__":
    main()
