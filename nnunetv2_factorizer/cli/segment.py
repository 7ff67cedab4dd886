"""`nnUNetv2_factorizer_segment`: segmentation of single images with no labels, no model and no training set."""

import argparse
import dataclasses
import sys
from functools import partial
from pathlib import Path

import torch

from nnunetv2_factorizer.cli.model_arguments import add_running, chosen_device, whole_number
from nnunetv2_factorizer.cli.segment_evaluate import evaluate
from nnunetv2_factorizer.cli.told import user_errors_told
from nnunetv2_factorizer.inference.cases import map_cases
from nnunetv2_factorizer.inference.names import read_names
from nnunetv2_factorizer.segment.case import segment_case
from nnunetv2_factorizer.segment.gallery import GALLERY, write_gallery
from nnunetv2_factorizer.segment.images import find_images
from nnunetv2_factorizer.segment.methods import METHODS
from nnunetv2_factorizer.segment.record import Record, prepare


@user_errors_told()
def main() -> None:
    """Entry point of the command."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["evaluate"]:
        evaluate(arguments[1:])
    else:
        _segment(arguments)


def _segment(arguments: list[str]) -> None:
    parser = _parser()
    args = parser.parse_args(arguments)
    if not 0 <= args.seed < 2**32:
        parser.error(f"--seed must be at least 0 and less than 2**32, got {args.seed}")
    method = METHODS[args.method]
    device = chosen_device(args) if method.trained else torch.device("cpu")
    names = read_names(args.names, method.most) if args.names else {}
    cases, ending, reader = find_images(args.i)
    record = Record(args.method, args.k, args.seed, ending, names)
    prepare(args.o, record, continuing=args.continue_prediction)
    work = partial(segment_case, record=record, reader=reader, device=device, output=args.o.absolute())
    results = list(map_cases(work, cases, scheduler=args.scheduler, show_progress=not args.disable_progress_bar))
    record = dataclasses.replace(record, cases={c.name: result for c, result in zip(cases, results, strict=True)})
    write_gallery(record, args.o)
    record.save(args.o)
    print(f"Wrote {len(cases)} label maps into {args.o}. Look at {args.o / GALLERY}.")
    if collapsed := sum(bool(result["collapsed"]) for result in results):
        print(f"{collapsed} of {len(cases)} images have a slice with one label only: try another --seed or --method.")
    if args.method != "kmeans":
        print("Compare with --method kmeans before you trust it: on many images it is as good.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Segment images without labels, each by itself: no model and no other image is needed. Writes a "
        "label map of each image in its geometry, OUT/segment.json, and OUT/gallery.html for a person to look at and "
        "to name the segments.",
        epilog="nnUNetv2_factorizer_segment evaluate -h: compare label maps with labels.",
    )
    add = parser.add_argument
    add("-i", type=Path, required=True, help="[REQUIRED] images, named as nnU-Net asks for: CASE_0000.png, ...")
    add("-o", type=Path, required=True, metavar="OUT", help="[REQUIRED] folder to write into, new or empty")
    add(
        "--method",
        choices=METHODS,
        required=True,
        help="[REQUIRED] msformer: a transformer of two scales, trained on the image; dfc: its ancestor, of three "
        "convolutions; factorizer: ours, MS-Former's losses on a small Factorizer; these see volumes slice by slice. "
        "kmeans: of the intensities; slic: of the means of superpixels; otsu: thresholds of the mean of all channels; "
        "these see volumes as a whole",
    )
    add(
        "-k",
        type=whole_number,
        default=3,
        help="number of segments; msformer, dfc and factorizer stop when at most so many are left; default: 3",
    )
    add("--seed", type=int, default=0, help="of what is drawn, default: 0")
    add("--names", type=Path, metavar="JSON", help='names of labels, such as {"1": "background"}')
    add("--continue_prediction", action="store_true", help="leave out images whose label maps are in -o already")
    add("--scheduler", metavar="ADDRESS", help="of a Dask scheduler whose workers see the same files")
    add_running(parser)
    return parser
