"""What only a GPU can tell, measured in ten minutes on one.

    python -m benchmarks.gpu -o gpu.jsonl [--minutes 10] [--sections NAME ...]
    python -m benchmarks.gpu report gpu.jsonl

One JSON line an item, written at once. What FILE holds is not measured again; what failed or was not reached is. Each
section has a process and a share of the time of its own, the most decisive first. The report is Markdown, with a pass
or a fail beside each goal.

Of Python packages the Factorizers need torch and einops. Without `dynamic_network_architectures` nnU-Net's networks
have an error in place of numbers; without `nnunetv2` so has the training, and the loss is cross-entropy alone. For all
but the training it is enough that the folders of these packages are in PYTHONPATH. Where there is no GPU, all runs at a
small size on the CPU, which says only that it runs.
"""

import argparse
import os
from pathlib import Path

from benchmarks.gpu.lines import read
from benchmarks.gpu.processes import Section, run
from benchmarks.gpu.report import report

COMPILING = max(1, min(8, (os.cpu_count() or 1) // 2))
SECTIONS = {
    "machine": Section(weight=2),
    "kernels": Section(weight=3, processes=COMPILING),
    "steps": Section(weight=10),
    "agreement": Section(weight=2),
    "bandwidth": Section(weight=1),
    "depthwise": Section(weight=2),
    "inference": Section(weight=3),
    "training": Section(weight=3),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", type=Path, metavar="FILE", help="for the lines, gone on with where it exists")
    parser.add_argument("--minutes", type=float, default=10, help="for all sections together, default: 10")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="default: all")
    actions = parser.add_subparsers(dest="action")
    actions.add_parser("report", help="print the tables").add_argument("file", type=Path, metavar="FILE")
    args = parser.parse_args()
    if args.action == "report":
        if not args.file.is_file():
            parser.error(f"{args.file} is not there. Measure first: python -m benchmarks.gpu -o {args.file}")
        print(report(read(args.file)))
    elif args.o is None:
        parser.error("-o FILE is needed, for the lines")
    else:
        chosen = {f"benchmarks.gpu.{name}": SECTIONS[name] for name in SECTIONS if name in args.sections}
        run(args.o, chosen, 60 * args.minutes)


if __name__ == "__main__":
    main()
