"""The manual keeps up with the commands, their flags and the report."""

import ast
import re
import shlex
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
COMMANDS = dict(
    re.findall(
        r'^(nnUNetv2_\w+) = "nnunetv2_factorizer\.cli\.(\w+):main"$', (REPOSITORY / "pyproject.toml").read_text(), re.M
    )
)
README = (REPOSITORY / "README.md").read_text()
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


def short(command: str) -> str:
    return command.removeprefix("nnUNetv2_").removeprefix("factorizer_")


def page_of(command: str) -> str:
    return f"commands/{short(command)}.md"


def flags_of(module: str) -> set[str]:
    """The flags that the modules of a command, or those for arguments that commands share, name in a string."""
    cli = REPOSITORY / "nnunetv2_factorizer" / "cli"
    sources = (cli / f"{module}.py", *cli.glob(f"{module}_*.py"), *cli.glob("*_arguments.py"))
    strings = (
        node.value
        for source in sources
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Constant)
    )
    return {string for string in strings if isinstance(string, str) and re.fullmatch(r"--?[a-zA-Z]\S*", string)}


def calls(text: str) -> list[list[str]]:
    """The words of each line of a shell that begins with a command of ours."""
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    words = (shlex.split(line, comments=True) for line in lines)
    return [found for found in words if found and found[0] in COMMANDS]


def numbers(text: str) -> set[str]:
    """Those with a point or with at least three digits; `0.8` and `0.80` are two."""
    return set(re.findall(r"(?<![\w.])(?:\d+\.\d+|\d{3,})(?![\w.]*\d)", text.replace(",", "")))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_page_in_the_navigation(command: str) -> None:
    page = REPOSITORY / "docs" / page_of(command)
    assert page.read_text().startswith(f"# {command}\n")
    assert f"- {short(command)}: {page_of(command)}\n" in (REPOSITORY / "mkdocs.yml").read_text()
    assert f"[`{command}`](docs/{page_of(command)})" in README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_flags_of_the_examples_exist(page: Path) -> None:
    for command, *arguments in calls(page.read_text(encoding="utf-8")):
        given = {word for word in arguments if re.fullmatch(r"--?[a-zA-Z]\S*", word)}
        assert given <= flags_of(COMMANDS[command]) | {"--help"}, (command, given)


@pytest.mark.parametrize("command", COMMANDS)
def test_flags_that_a_page_explains_exist(command: str) -> None:
    """Those that begin an item of a list."""
    text = (REPOSITORY / "docs" / page_of(command)).read_text()
    explained = set(re.findall(r"^- `(--?[a-zA-Z][\w-]*)", text, re.M))
    assert explained <= flags_of(COMMANDS[command])


def test_numbers_of_the_tables_are_those_of_the_report() -> None:
    report = numbers((REPOSITORY / "benchmarks" / "REPORT.md").read_text())
    rows = [line for line in README.splitlines() if line.startswith("| ")]
    found = {number for row in rows for number in numbers(row)}
    assert len(found) > 30
    assert found <= report, found - report


def test_nothing_is_installed_from_an_index() -> None:
    """Nothing is published, and somebody else could register the name."""
    sources = [
        path for room in ("nnunetv2_factorizer", "trainers", "plans") for path in (REPOSITORY / room).rglob("*.py")
    ]
    for page in [*PAGES, *sources]:
        text = page.read_text("utf-8")
        assert not re.search(r"pip install [^\n`]*(nnunetv2[-_]factorizer|\{DISTRIBUTION)", text), page
