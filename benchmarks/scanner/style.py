"""Images of scanner B restyled at prediction: Dice by `nnUNetv2_factorizer_predict_style` in several settings."""

import subprocess
import sys
from pathlib import Path
from statistics import mean

from benchmarks.measure import device
from benchmarks.scanner.cases import READER, dice, some, truth, write_scanned
from benchmarks.scanner.models import FOLD, predictor, published
from benchmarks.scanner.notice import fitted
from benchmarks.scanner.scanners import SCANNERS
from nnunetv2_factorizer.adaptation.style.bank import FILE

SETTINGS = {
    "nothing": "--gate shut",
    "histogram": "--gate open --method histogram",
    "Fourier": "--gate open --method fourier",
    "histogram, gate": "--gate auto --method histogram",
    "histogram, 1 donor": "--gate open --method histogram --donors 1",
    "histogram, random donors": "--gate open --method histogram --donors_by random",
    "Fourier, 1 donor": "--gate open --method fourier --donors 1",
    "Fourier, random donors": "--gate open --method fourier --donors_by random",
    "Fourier, SR-SIM donors": "--gate open --method fourier --donors_by srsim",
    "Fourier, 2 cycles": "--gate open --method fourier --radius 0.05",
    "Fourier, 6 cycles": "--gate open --method fourier --radius 0.15",
}
"""Seven donors by amplitude, and 3 cycles of the typical image, 0.075 cycles per mm here, if not said otherwise."""


def predict_styles(method: str, iterations: int, out: Path) -> None:
    """Predicts what is not in `out` yet: a folder a setting and scanner."""
    folder = published(method, iterations)
    if not (folder / f"fold_{FOLD}" / FILE).is_file():
        _command("style_bank", "-m", str(folder), "-f", f"{FOLD}")
    fitted(predictor(folder), folder)
    for scanner in ("A", *SCANNERS):
        images = out / "images" / scanner
        images.mkdir(parents=True, exist_ok=True)
        for case in some():
            if not (images / f"{case}_0000.nii.gz").is_file():
                write_scanned(images / f"{case}_0000.nii.gz", case, scanner)
    for setting, flags in SETTINGS.items():
        for scanner in ("A", *SCANNERS):
            _command(
                "predict_style", "-i", str(out / "images" / scanner), "-o", str(_predictions(out, setting, scanner)),
                "-m", str(folder), "-f", f"{FOLD}", "-device", device().type, "--disable_tta", "-npp", "0", "-nps", "0",
                "--continue_prediction", "--disable_progress_bar", *flags.split(),
            )  # fmt: skip


def print_styles(out: Path) -> None:
    """A row a setting, a column a scanner."""
    cases = some()
    print(f"| Dice of {len(cases)} cases | A | " + " | ".join(SCANNERS) + " |")
    print("| --- |" + " --- |" * (1 + len(SCANNERS)))
    for setting in SETTINGS:
        cells = []
        for scanner in ("A", *SCANNERS):
            files = [_predictions(out, setting, scanner) / f"{case}.nii.gz" for case in cases]
            done = all(file.is_file() for file in files)
            found = [dice(READER.read_seg(str(f))[0][0], truth(c)) for f, c in zip(files, cases, strict=True) if done]
            cells.append(f"{mean(found):.3f}" if done else "")
        print(f"| {setting} | {' | '.join(cells)} |")


def _predictions(out: Path, setting: str, scanner: str) -> Path:
    return out / "".join(c if c.isalnum() else "_" for c in setting) / scanner


def _command(name: str, *arguments: str) -> None:
    program = str(Path(sys.executable).parent / f"nnUNetv2_factorizer_{name}")
    subprocess.run([program, *arguments], check=True, stdout=sys.stderr)
