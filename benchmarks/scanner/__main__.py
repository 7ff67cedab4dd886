"""A new scanner, on real MRI: hippocampus, whose images three scanners B change; labels stay as they are.

    python -m benchmarks.scanner calibrate [--method NAME] [--strength 0.5 1 1.5]
    python -m benchmarks.scanner loss --method NAME ... [--iterations 250]
    python -m benchmarks.scanner notice --method NAME ... [--iterations 250]

For models of scanner A that `python -m benchmarks.learning run` has trained on fold 0 of the hippocampus data. The
environment variables of nnU-Net must be set. Validation cases are predicted without mirroring.
"""

import argparse

from benchmarks.learning.methods import METHODS
from benchmarks.scanner.loss import print_calibration, print_loss
from benchmarks.scanner.notice import print_notice


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("calibrate", "loss", "notice"))
    parser.add_argument("--method", nargs="+", choices=METHODS, default=["nnU-Net + Muon"], help="how A was learned")
    parser.add_argument("--iterations", type=int, default=250, help="that A was learned in, default: 250")
    parser.add_argument("--strength", nargs="+", type=float, default=[0.25, 0.5, 0.8, 1.15, 1.5], help="of scanners")
    args = parser.parse_args()
    if args.action == "calibrate":
        print_calibration(args.method[0], args.iterations, args.strength)
    elif args.action == "loss":
        print_loss(args.method, args.iterations)
    else:
        for method in args.method:
            print_notice(method, args.iterations)


if __name__ == "__main__":
    main()
