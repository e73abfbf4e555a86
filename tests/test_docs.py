"""What the documentation says is what happens: its commands run, its generated parts are up to date, its links lead on."""

import importlib
import itertools
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
import typer.main

from flows.cli import app

PROJECT = Path(__file__).parent.parent
PAGES = sorted([PROJECT / "README.md", PROJECT / "CHANGELOG.md", *(PROJECT / "docs").glob("*.md")])
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHELL = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TRY = re.compile(r"^## (?:Try it|Essayer)\n(?:(?!^## ).)*?^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SOURCES = ("bordereaux", "centres-de-sante", "cpom", "cpts", "datasets", "demarches", "pmsi")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)[^)]*\)")
GAP = "…"
"""In shown output: any text; alone on a line, any lines. Lines that vary or say nothing new may be left out altogether."""
ENDED = "@@ended@@"

Command = tuple[str, list[str]]


def commands(page: Path) -> list[Command]:
    """The commands of a page's console blocks, in order, each with the lines of output that the page shows."""
    found: list[Command] = []
    for line in "\n".join(CONSOLE.findall(page.read_text(encoding="utf-8"))).splitlines():
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), []))
        elif line.strip() not in ("", GAP):
            found[-1][1].append(line)
    return found


def run(lines: list[str], folder: Path, *programs: Path) -> list[tuple[list[str], int]]:
    """Run commands one after the other in one shell: what each printed, and its exit code. ``programs``: folders to look for
    commands in before that of the installed ones."""
    script = "".join(f"{line}\ncode=$?; echo; echo {ENDED} $code; (exit $code)\n" for line in lines)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ECLUSE_", "PREFECT_"))}
    place = {
        "PATH": os.pathsep.join([*map(str, programs), str(Path(sys.executable).parent), kept["PATH"]]),
        "HOME": str(folder),
        "COLUMNS": "100",
    }
    done = subprocess.run(
        ["bash"], input=script, cwd=folder, env=kept | place,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, check=False,
    )  # fmt: skip
    answers = re.split(rf"^{ENDED} (\d+)\n", done.stdout, flags=re.MULTILINE)
    return [(text.splitlines(), int(code)) for text, code in zip(answers[::2], answers[1::2], strict=False)]


def missing(shown: list[str], printed: list[str]) -> list[str]:
    """The shown lines that were not printed, in their order; the width of columns aside."""
    rest = (re.sub("─+", "─", " ".join(line.split())) for line in printed)
    return [line for line in shown if not any(pattern(line).fullmatch(found) for found in rest)]


def pattern(shown: str) -> re.Pattern[str]:
    words = re.sub("─+", "─", " ".join(shown.split()))
    return re.compile(".*".join(map(re.escape, words.split(GAP))))


@cache
def generator() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PROJECT / "docs")  # where it finds its parts, as when it is run
        return importlib.import_module("generate")


@pytest.mark.parametrize("installed", [False, pytest.param(True, marks=pytest.mark.soak)], ids=["forked", "installed"])
@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_commands_shown_in_a_page_run_and_print_what_it_shows(
    page: Path, installed: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """By the command that is installed, only in the soak: of its twenty starts each loads all libraries."""
    written = commands(page)
    programs = [] if installed else [request.getfixturevalue("forked_ecluse")]
    ran = run([command for command, _ in written], tmp_path, *programs)
    assert len(ran) == len(written), "the shell stopped early"
    following = [command for command, _ in written[1:]]
    for (command, shown), (printed, code), after in itertools.zip_longest(written, ran, following):
        assert missing(shown, printed) == [], f"$ {command}\n" + "\n".join(printed)
        if after != "echo $?":  # which tells by itself what the code must be
            assert code == 0, f"$ {command}\n" + "\n".join(printed)


@pytest.mark.parametrize("source", SOURCES)
def test_each_source_has_a_page_that_says_how_to_try_it_with_commands_that_there_are(source: str) -> None:
    [block] = TRY.findall((PROJECT / "docs" / f"{source}.md").read_text(encoding="utf-8"))
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    used = set(re.findall(r"^ecluse (?:--home \S+ )?([a-z-]+)", block, re.MULTILINE))
    assert used
    assert used <= known


@pytest.mark.soak
@pytest.mark.parametrize("source", SOURCES)
def test_what_a_page_gives_to_try_runs(source: str, tmp_path: Path, forked_ecluse: Path) -> None:
    [block] = TRY.findall((PROJECT / "docs" / f"{source}.md").read_text(encoding="utf-8"))
    lines = block.splitlines()
    ran = run(lines, tmp_path, forked_ecluse)
    assert [code for _, code in ran] == [0] * len(lines), "\n".join(line for printed, _ in ran for line in printed)


def test_a_page_that_shows_what_is_not_printed_is_found_out() -> None:
    printed = ["", " fichier   état ", " ────────── ", " a.rsa   acceptée   1 255 "]
    assert missing([" a.rsa acceptée 1 255"], printed) == []
    assert missing(["fichier état", "───", "a.… 1 255"], printed) == []
    assert missing(["a.rsa refusée …"], printed) == ["a.rsa refusée …"]
    assert missing(["a.rsa …", "fichier …"], printed) == ["fichier …"], "out of order"


def test_the_readme_is_worked_through_from_a_file_to_an_explained_figure() -> None:
    shown = " ".join(command for command, _ in commands(PROJECT / "README.md"))
    for name in ("init", "ingest", "status", "quarantine", "query", "--as-of", "publish", "explain", "verify"):
        assert f" {name}" in shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_generated_parts_are_up_to_date(page: Path) -> None:
    assert generator().page(page) == page.read_text(encoding="utf-8"), "run: python docs/generate.py"


def test_every_generated_part_stands_in_a_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in generator().GENERATED if f"<!-- generated: {name} -->" not in text] == []


def test_every_command_is_in_the_readme_and_its_help_in_the_reference() -> None:
    names = list(typer.main.get_group(app).commands)
    readme, reference = ((PROJECT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/cli.md"))
    assert [name for name in names if not re.search(rf"^\| `{name}\b", readme, re.MULTILINE)] == []
    assert [name for name in names if f"Utilisation : ecluse {name} " not in reference] == []


def test_all_that_the_page_on_the_code_names_exists() -> None:
    page = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    modules = re.findall(r"`((?:flows|connectors|contracts_schema|checks|warehouse)(?:\.\w+)+)`", page)
    paths = re.findall(r"`((?:flows|connectors|contracts_schema|checks|warehouse|tests|docs)/[\w./]*)…?`", page)
    assert len(modules) > 50
    assert [name for name in modules if not defined(name)] == []
    assert [path for path in paths if not list(PROJECT.glob(f"{path.rstrip('/')}*"))] == []


def defined(name: str) -> bool:
    """Whether a dotted name is a module or a package, or stands at the top of one."""
    *above, last = name.split(".")
    inside = [PROJECT.joinpath(*above[:-1], f"{above[-1]}.py"), PROJECT.joinpath(*above, "__init__.py")]
    written = "".join(path.read_text(encoding="utf-8") for path in inside if path.is_file())
    module = PROJECT.joinpath(*above, f"{last}.py").is_file() or PROJECT.joinpath(*above, last, "__init__.py").is_file()
    return module or bool(re.search(rf"^(?:def |class )?{last}\b", written, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_to_files(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_says_of_make_and_prefect_is_what_their_files_hold(page: Path) -> None:
    targets = re.findall(r"^(\w+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    prefect = (PROJECT / "prefect.yaml").read_text(encoding="utf-8")
    lines = "\n".join(SHELL.findall(page.read_text(encoding="utf-8"))).splitlines()
    assert [line for line in lines if line.startswith("make ") and line.split()[1] not in targets] == []
    assert [line for line in lines if line.startswith("prefect ") and f"#   {line}\n" not in prefect] == []
