"""`nnUNetv2_factorizer_style_bank`: amplitudes and quantiles of the training images of a fold, for style transfer."""

import argparse

from nnunetv2_factorizer.adaptation.style.bank import KEPT_CYCLES
from nnunetv2_factorizer.adaptation.style.making import make_bank
from nnunetv2_factorizer.cli.model_arguments import add_model_choice, model_folder
from nnunetv2_factorizer.cli.told import user_errors_told


def positive(text: str) -> float:
    """The type of an argument in cycles per mm."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of cycles per mm above 0, got {text}")
    return value


@user_errors_told()
def main() -> None:
    """Entry point of the command."""
    parser = _parser()
    args = parser.parse_args()
    folder = model_folder(parser, args)
    path, bank = make_bank(folder, args.f, args.chk, args.radius, show_progress=not args.disable_progress_bar)
    number, size = len(bank.styles), path.stat().st_size / 2**20
    print(f"Wrote {path}: {number} training images, {size:.1f} MB, amplitudes up to {bank.radius:.4g} cycles per mm.")
    print("It holds amplitudes of low frequencies and quantiles of intensities: no image, no phase, no name of a case.")
    if number == 1:
        print("There is one training image: every image is going to get its style.")
    print("Next: nnUNetv2_factorizer_predict_style with the same -d, -c, -p, -tr and -f.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Make the style bank of a trained fold, which nnUNetv2_factorizer_predict_style needs, beside its "
        "checkpoint: fold_X/style_bank.npz. It is made from the preprocessed training images and holds of each the "
        "amplitudes of low frequencies and the quantiles of its intensities: no image, no phase, no name of a case. "
        "It can be given away with the model. No label is opened."
    )
    add_model_choice(parser)
    add = parser.add_argument
    add("-f", required=True, metavar="FOLD", help="[REQUIRED] one fold, such as 0 or all")
    add(
        "--radius",
        type=positive,
        metavar="CYCLES_PER_MM",
        help=f"up to which amplitudes are kept, default: {KEPT_CYCLES} cycles in the typical training image",
    )
    add("--disable_progress_bar", action="store_true", help="for logs")
    return parser
