"""The report as a person has it: opened from disk in a real browser, headless; and its files."""

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.explain.association import associate
from nnunetv2_factorizer.explain.pictures import CasePictures, LayerPictures, MapPictures
from nnunetv2_factorizer.explain.report import write_report

DEPTH = 6
SEEN = 2  # the slice that component 0 is bright in
ATTACK = "<script>window.attacked = 1</script>"
BROKEN_FORMULA = r"$\frac$"  # matplotlib refuses to set it
CASE = f"case {BROKEN_FORMULA} {ATTACK}"
MODEL = f"</title></style>{ATTACK} of 'somebody' & \"others\""
LABELS = {f'"><img src=x onerror="window.attacked = 1">{ATTACK}': [1, 2], f"core {BROKEN_FORMULA}": [2], "absent": [3]}
LAYERS = (("encoder.stages.0.0", 0), ("encoder.stages.0.0", 1), ("decoder.stages.1.0", 0))


def case_of(shape: tuple[int, int, int]) -> tuple[NDArray, NDArray]:
    """An image whose grey is the number of the slice, and labels."""
    image = np.broadcast_to(np.arange(shape[0], dtype=np.float32)[:, None, None], shape)[None]
    segmentation = np.zeros(shape, np.uint8)
    segmentation[:4, 10:20, 12:24] = 1
    segmentation[:2, 12:18, 14:20] = 2
    return image, segmentation


def write(folder: Path, shape: tuple[int, int, int] = (DEPTH, 30, 40)) -> None:
    rng = np.random.default_rng(0)
    image, segmentation = case_of(shape)
    pictures = CasePictures.of(
        image, {"labels": segmentation, "prediction": segmentation[::-1]}, LABELS, (3.0, 1.0, 1.0)
    )
    masks = {name: np.isin(segmentation, values) for name, values in LABELS.items()}

    def shown(name: str, volume: NDArray) -> MapPictures:
        return MapPictures.of(name, volume, pictures.view, associate(volume, masks))

    layers = []
    for layer, fold in LAYERS:
        bright = np.zeros(shape, np.float32)
        bright[min(SEEN, shape[0] - 1)] = 1 + fold
        noise = rng.random(shape, np.float32)
        components = [shown("head 0, component 0", bright), shown("head 1, component 0", noise)]
        layers.append(LayerPictures(layer, fold, 0.75, components, shown("residual", noise.max() - noise)))
    write_report(folder, case=CASE, model=MODEL, pictures=pictures, layers=layers)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write(folder)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if executable is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, report: Path) -> Iterator[Any]:
    """The report in a window of 1200 x 900; whatever it complains about or asks for fails the test."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((report / "report.html").as_uri())
    yield page
    page.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [(report / "report.html").as_uri()]


def middle(page: Any, label: str) -> NDArray[np.int_]:
    """The colour in the middle of the first panel of that name, RGB."""
    panel = page.locator(f'.panel[aria-label="{label}"]').first
    pixels = np.asarray(Image.open(io.BytesIO(panel.screenshot())).convert("RGB")).astype(int)
    return pixels[pixels.shape[0] // 2, pixels.shape[1] // 2]


def test_slider_moves_image_and_maps_to_the_slice_that_it_names(page: Any) -> None:
    slider = page.locator("#slice")
    assert page.locator("output").text_content() == "z = 2"  # which has most of the largest label
    np.testing.assert_allclose(middle(page, "image"), 255 * 2 / (DEPTH - 1), atol=2)
    slider.press("Home")
    for z in range(DEPTH):
        assert page.locator("output").text_content() == f"z = {z}"
        grey = 255 * z / (DEPTH - 1)
        np.testing.assert_allclose(middle(page, "image"), grey, atol=2)
        for layer, _ in LAYERS:
            red, _, blue = middle(page, f"head 0, component 0 of {layer} over the image")
            assert (red - blue > 50) == (z == SEEN)
        for name, labelled in (("labels", z < 4), ("prediction", z >= DEPTH - 4)):
            colour = middle(page, f"{name} over the image")
            assert (max(colour) - min(colour) > 30) == labelled
        slider.press("ArrowRight")


def test_tables_show_the_numbers_of_the_json_file(page: Any, report: Path) -> None:
    numbers = json.loads((report / "report.json").read_text())
    tables = page.locator("table.numbers")
    assert tables.count() == len(LAYERS)
    for index, layer in enumerate(numbers["layers"]):
        rows = tables.nth(index).locator("tbody tr")
        shown = [[cell.strip() for cell in row.locator("td").all_text_contents()] for row in rows.all()]
        assert shown == [expected_row(row) for row in [*layer["components"], layer["residual"]]]
    # The strongest of each label, of which "absent" has none.
    assert page.locator(".numbers .strongest").count() == len(LAYERS) * (len(LABELS) - 1) * 3


def expected_row(shown: dict[str, Any]) -> list[str]:
    cells = [shown["name"], f"{shown['maximum']:.3g}"]
    for association in shown["associations"].values():
        if association["auc"] is None:
            cells += ["none", "none", ""]
        else:
            sign = "+" if association["sign"] == 1 else "\N{MINUS SIGN}"
            cells += [f"{association['auc']:.3f}", f"{association['dice']:.3f}", sign]
    return cells


def test_names_are_text_and_run_nothing(page: Any) -> None:
    assert page.title() == f"{CASE}: components"
    assert page.locator("h1").text_content() == CASE
    assert page.locator("header p").text_content() == MODEL
    heads = page.locator("table.numbers").first.locator("th.label").all_text_contents()
    assert heads == list(LABELS)
    assert page.evaluate("window.attacked") is None
    assert page.locator("script").count() == 1


def test_figures_are_in_the_page(page: Any) -> None:
    for details in page.locator("details").all():
        details.locator("summary").click()
        image = details.locator("img")
        image.scroll_into_view_if_needed()
        page.wait_for_function("image => image.complete", arg=image.element_handle())
        assert image.evaluate("image => image.naturalWidth") > 1000
        assert image.get_attribute("alt")


@pytest.mark.parametrize("width", [1200, 500])
def test_page_fits_the_window(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for panel in page.locator(".panel").all():
        box = panel.bounding_box()
        assert box["x"] + box["width"] <= width
        assert box["width"] / box["height"] == pytest.approx(40 / 30, rel=0.02)


def test_a_2d_case_has_no_slider(browser: Any, tmp_path: Path) -> None:
    write(tmp_path, (1, 30, 40))
    page = browser.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    assert not page.locator(".slider").is_visible()
    assert "z = 0" in page.locator("summary").first.text_content()
    page.close()


def test_folder_holds_a_figure_for_each_layer_and_fold_and_valid_json(report: Path) -> None:
    figures = {f"{layer}_fold_{fold}.png" for layer, fold in LAYERS}
    assert {path.name for path in report.iterdir()} == {"report.html", "report.json", *figures}
    for figure in figures:
        assert Image.open(report / figure).width > 1000
    numbers = json.loads((report / "report.json").read_text(), parse_constant=pytest.fail)
    assert (numbers["case"], numbers["model"], numbers["reference"]) == (CASE, MODEL, "labels")
    assert [(layer["layer"], layer["fold"]) for layer in numbers["layers"]] == list(LAYERS)
    first = numbers["layers"][1]["components"][0]
    assert (first["name"], first["maximum"]) == ("head 0, component 0", 2)
    assert first["associations"]["absent"] == {"auc": None, "sign": None, "dice": None, "threshold": None}


def test_an_existing_report_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(UserError, match=r"report\.html exists already.*\n.*-o"):
        write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text() == "mine"
