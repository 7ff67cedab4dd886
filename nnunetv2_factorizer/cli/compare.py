"""`nnUNetv2_factorizer_compare`: networks trained on the same data for the same budget, and their table."""

import argparse
from pathlib import Path

from nnunetv2_factorizer.cli.model_arguments import add_running, chosen_device, dataset_name, unique_folds, whole_number
from nnunetv2_factorizer.cli.told import user_errors_told
from nnunetv2_factorizer.compare import report
from nnunetv2_factorizer.compare.comparison import Comparison, begin, check
from nnunetv2_factorizer.compare.local import run_locally
from nnunetv2_factorizer.compare.networks import known_names
from nnunetv2_factorizer.compare.run import run_one
from nnunetv2_factorizer.compare.slurm import LOGS, parse_options, require_submitit, run_by_slurm
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.folders import nnunet_folder


@user_errors_told()
def main() -> None:
    """Entry point of the command."""
    args = _parser().parse_args()
    options = None
    if args.slurm is None:
        chosen_device(args)
    else:  # the machine that starts the jobs need not have the device
        require_submitit()
        options = parse_options(args.slurm)
    for variable in ("nnUNet_raw", "nnUNet_preprocessed"):
        nnunet_folder(variable)
    wanted = Comparison(
        out=args.o.absolute(),
        dataset=dataset_name(args.d),
        configuration=args.c,
        plans=args.p,
        folds=tuple(unique_folds(args)),
        networks=tuple(dict.fromkeys(args.networks)),
        budget=args.budget,
        memory=args.memory,
        device=args.device,
        jobs=args.jobs,
    )
    networks = check(wanted)
    begin(wanted)
    runs = wanted.runs()
    trainers = {network.name: network.trainer for network in networks}
    width = max(map(len, trainers))
    for run in runs:
        print(f"{run.network:{width}}  fold {run.fold}  {run.state:7}  {trainers[run.network]}")
    todo, show_progress = [run for run in runs if run.state != "done"], not args.disable_progress_bar
    print(
        f"{len(todo)} of {len(runs)} runs to do, {wanted.budget} each; models and logs: {args.o / 'runs'}", flush=True
    )
    if todo and options is not None:
        run_by_slurm(todo, run_one, report.told, options, wanted.out / LOGS, show_progress=show_progress)
    elif todo:
        run_locally(todo, run_one, report.told, args.jobs, show_progress=show_progress)
    print(f"\n{report.write(wanted, runs)}\n\nWrote {', '.join(report.FILES)} to {args.o}.", flush=True)
    if failed := report.failures(runs):
        told = "\n".join(f"{f['network']}, fold {f['fold']}: {f['cause']}\n  {f['remedy']}" for f in failed)
        raise UserError(
            f"{len(failed)} of {len(runs)} runs have no result.\n{told}",
            "The same command runs these again, and no others.",
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Train networks on the same data for the same budget by nnU-Net's own training, validate them,\n"
        "and put them into one table: parameters, GFLOPs, seconds a step, peak memory, Dice and HD95 of each\n"
        "label, and the difference to nnU-Net with its interval. The data are preprocessed before. All take\n"
        "patch and batch from the plans of -p, or each its own by --memory.\n\n"
        "  OUT/table.md, table.csv, results.json, dice_over_seconds.png, comparison.html\n"
        "  OUT/runs/NETWORK    a model of nnU-Net's: nnUNetv2_predict_from_modelfolder -m OUT/runs/NETWORK -f 0\n\n"
        "The same command goes on where it was interrupted, and repeats no run that has ended. More networks\n"
        "and folds may be added to the same OUT.",
        epilog="NETWORK is the trainer nnUNetTrainerNETWORK, Factorizer at its end left out, or one of nnU-Net's own; "
        f"here: {', '.join(known_names())}. Muon is the network of the plans, with Muon.",
    )
    add = parser.add_argument
    add("-d", required=True, help="[REQUIRED] dataset name or ID, planned and preprocessed by nnU-Net")
    add("-c", required=True, help="[REQUIRED] configuration, such as 3d_fullres")
    add("-o", type=Path, required=True, help="[REQUIRED] folder for models and table; one comparison each")
    add("--networks", nargs="+", required=True, metavar="NETWORK", help="[REQUIRED] names, see below")
    add("--budget", required=True, help='[REQUIRED] of each run: "1000 iterations", or "20 minutes" of training; the '
        "validation of whole images comes on top")  # fmt: skip
    add("-f", nargs="+", default=["0"], help="folds, default: 0")
    add("-p", default="nnUNetPlans", help="plans of nnU-Net, default: nnUNetPlans")
    add("--memory", type=float, metavar="GB", help="plan patch and batch of each network for a GPU of so many GB, on "
        "the same preprocessed data; default: those of -p for all")  # fmt: skip
    add("--jobs", type=whole_number, default=1, help="runs at a time on this machine, default: 1, at which seconds "
        "can be compared")  # fmt: skip
    add("--slurm", metavar="OPTIONS", help="a job of SLURM a run, with options of sbatch such as "
        "partition=gpu,time=02:00:00,gpus_per_node=1; needs submitit (extra slurm)")  # fmt: skip
    add_running(parser)
    return parser
