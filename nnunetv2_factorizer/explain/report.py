"""What a person looks at: one HTML file that needs nothing else, figures, and every number as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.explain.figure import layer_figure
from nnunetv2_factorizer.explain.pictures import CasePictures, LayerPictures, MapPictures
from nnunetv2_factorizer.explain.pixels import heat, label_colours
from nnunetv2_factorizer.inference.page import render


def write_report(
    folder: Path,
    *,
    case: str,
    model: str,
    pictures: CasePictures,
    layers: Sequence[LayerPictures],
) -> None:
    """Writes `report.html`, `report.json` and a figure a layer and fold, such as `encoder.stages.0.0_fold_0.png`.

    Args:
        folder: which exists.
        case: its name.
        model: one line that names it.
        pictures: of the case.
        layers: at least one.

    Raises:
        UserError: there is a report in the folder.
    """
    if (folder / "report.html").exists():
        raise UserError(
            f"{folder / 'report.html'} exists already, and reports are not overwritten.",
            "Remove it, or give another output folder with -o.",
        )
    figures = [layer_figure(f"{case}\n{model}", pictures, layer) for layer in layers]
    for layer, figure in zip(layers, figures, strict=True):
        (folder / f"{layer.layer}_fold_{layer.fold}.png").write_bytes(figure)
    numbers = _numbers(case, model, pictures, layers)
    (folder / "report.json").write_text(json.dumps(numbers, indent=2, allow_nan=False), "utf-8")
    content = {
        "case": case,
        "model": model,
        "pictures": pictures,
        "layers": layers,
        "figures": figures,
        "heat": heat()[::4].tolist(),
        "label_colours": label_colours(len(pictures.labels))[1:].tolist(),
    }
    html = render(__package__, "report.html.jinja", content, number=_number, css=_css, zip=zip)
    (folder / "report.html").write_text(html, "utf-8")


def _numbers(case: str, model: str, pictures: CasePictures, layers: Sequence[LayerPictures]) -> dict[str, Any]:
    return {
        "case": case,
        "model": model,
        "reference": pictures.reference,
        "view": asdict(pictures.view),
        "layers": [
            {
                "layer": layer.layer,
                "fold": layer.fold,
                "explained_share": layer.explained,
                "components": [_map_numbers(component) for component in layer.components],
                "residual": _map_numbers(layer.residual),
            }
            for layer in layers
        ],
    }


def _map_numbers(shown: MapPictures) -> dict[str, Any]:
    associations = {label: asdict(association) for label, association in shown.associations.items()}
    return {"name": shown.name, "maximum": shown.maximum, "associations": associations}


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _css(colour: Sequence[int]) -> str:
    red, green, blue, alpha = colour
    return f"rgb({red} {green} {blue} / {alpha / 255:.2f})"
