"""The built package holds what it needs and nothing else, runs where it is installed, and its versions are locked."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from contracts_schema.fingerprint import fingerprint

PROJECT = Path(__file__).parent.parent
PACKAGES = ("checks", "connectors", "contracts_schema", "flows", "warehouse")
LOCKS = [("requirements.lock", ("build",)), ("requirements-dev.lock", ("dev",))]
"""Lock files, and the dependency groups that each holds besides the project's own dependencies."""
LOCKED = re.compile(r"^(\S+)==(\S+)(?: ; (.+?))?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE)
USE = """
import importlib.metadata, json, sys
from pathlib import Path
from connectors.synthetic import Recipe, fictional_finess
from connectors.synthetic_rsa import write_rsa
from contracts_schema.fingerprint import fingerprint
import checks, connectors, contracts_schema, flows, warehouse
finess = fictional_finess()
write_rsa(Path(f"{finess}.2026.2.rsa"), Recipe(finess, 2026, months=2, stays_per_month=60, seed=1))
print(json.dumps({
    "files": [package.__file__ for package in (checks, connectors, contracts_schema, flows, warehouse)],
    "fingerprint": fingerprint(),
    "version": importlib.metadata.version("ecluse"),
    "export": f"{finess}.2026.2.rsa",
}))
"""

Command = Callable[..., str]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive."""
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))


def install(folder: Path, *what: str | Path) -> None:
    """Install into the environment of a folder, whose own pip this does not need."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(folder / "bin" / "python")]
    done = subprocess.run(
        [*pip, "install", "--quiet", "--no-deps", *map(str, what)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def commands_in(environment: Path, folder: Path) -> Command:
    """Runs a program of an environment, in a folder that has a home of its own; gives what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ECLUSE_", "PREFECT_", "PYTHON"))}
    place = {"ECLUSE_HOME": str(folder / "hub"), "HOME": str(folder)}

    def run(program: str, *arguments: str) -> str:
        command = [str(environment / "bin" / program), *arguments]
        done = subprocess.run(command, cwd=folder, env=kept | place, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def goes_from_a_file_to_a_publication(run: Command, environment: Path) -> None:
    found = json.loads(run("python", "-c", USE))
    assert [file for file in found["files"] if not Path(file).is_relative_to(environment)] == []
    assert found["fingerprint"] == fingerprint(), "decisions are made under the same contracts wherever it is installed"
    assert run("ecluse", "--version") == f"ecluse {found['version']}\n"
    run("ecluse", "init", "--recipient", "ars-99")
    [delivery] = json.loads(run("ecluse", "ingest", "--json", found["export"]))["deliveries"]
    assert delivery["status"] == "accepted"
    assert delivery["rows_in"] == delivery["rows_accepted"] > 100
    [publication] = json.loads(run("ecluse", "publish", "--json"))["publications"]
    assert publication["rows"] == {"activity": 2, "activity_by_ghm": 72, "unit_activity": 6, "indicator": 11}
    assert json.loads(run("ecluse", "verify", "--json"))["sound"]


def test_the_wheel_holds_every_file_of_the_five_packages_and_no_other(wheel: Path) -> None:
    found = (path for package in PACKAGES for path in (PROJECT / package).rglob("*") if path.is_file())
    sources = [str(path.relative_to(PROJECT)) for path in found if "__pycache__" not in path.parts]
    with zipfile.ZipFile(wheel) as archive:
        held = [name for name in archive.namelist() if ".dist-info/" not in name]
    assert sorted(held) == sorted(sources)
    assert {Path(name).suffix for name in held} == {".py", ".csv", ".sql", ".yaml", ".j2"}


def test_the_source_archive_holds_what_building_testing_and_running_it_need(built: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "-xzf", next(built.glob("*.tar.gz"))], cwd=tmp_path, check=True)
    [unpacked] = tmp_path.iterdir()
    needed = ["README.md", "CHANGELOG.md", "LICENSE", "Makefile", "docs", "tests", "prefect.toml", "prefect.yaml"]
    assert [name for name in [*needed, *(name for name, _ in LOCKS)] if not (unpacked / name).exists()] == []
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=unpacked, capture_output=True, check=True)
    [again], [first] = tmp_path.glob("*.whl"), built.glob("*.whl")
    with zipfile.ZipFile(again) as ours, zipfile.ZipFile(first) as theirs:
        assert {file.filename: file.CRC for file in ours.infolist()} == {file.filename: file.CRC for file in theirs.infolist()}


def test_the_wheel_runs_in_an_environment_without_the_sources(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    venv.create(environment, symlinks=True)
    install(environment, "--no-index", wheel)
    [packages] = environment.glob("lib/python3*/site-packages")
    # the path of the dependencies only: .pth files found there, such as that of the editable install, are not followed
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    goes_from_a_file_to_a_publication(commands_in(environment, tmp_path), environment)


@pytest.mark.soak
def test_the_wheel_and_the_locked_packages_are_all_it_takes(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    venv.create(environment, symlinks=True)
    install(environment, "--require-hashes", "-r", PROJECT / "requirements.lock")
    install(environment, "--no-index", wheel)
    run = commands_in(environment, tmp_path)
    goes_from_a_file_to_a_publication(run, environment)
    assert "ars-99/pmsi-activity n° 1 publié" in run("ecluse", "demo", "demo")


def locked(name: str) -> dict[str, tuple[str, str, str]]:
    """A lock file: version, marker and hashes by normalised name. Nothing else may stand in it."""
    text = (PROJECT / name).read_text(encoding="utf-8")
    assert LOCKED.sub("", text).strip() == "", "only name==version, a marker, hashes"
    lines = LOCKED.findall(text)
    found: dict[str, tuple[str, str, str]] = {canonicalize_name(name): tuple(rest) for name, *rest in lines}
    assert len(found) == len(lines)
    return found


def asked(pyproject: dict[str, Any], *groups: str) -> list[Requirement]:
    """The project's dependencies, and those of groups with the groups that they include."""
    found = list(pyproject["project"]["dependencies"])
    pending = list(groups)
    while pending:
        for entry in pyproject["dependency-groups"][pending.pop()]:
            if isinstance(entry, str):
                found.append(entry)
            else:
                pending.append(entry["include-group"])
    return [Requirement(entry) for entry in found]


@pytest.mark.parametrize("name", [name for name, _ in LOCKS])
def test_every_version_is_locked_with_hashes_and_from_no_named_place(name: str) -> None:
    assert "://" not in (PROJECT / name).read_text(encoding="utf-8")
    assert len(locked(name)) > 50


@pytest.mark.parametrize(("name", "groups"), LOCKS)
def test_locked_versions_are_those_that_the_project_asks_for(
    name: str, groups: tuple[str, ...], pyproject: dict[str, Any]
) -> None:
    lock = locked(name)
    for requirement in asked(pyproject, *groups):
        version, *_ = lock[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), requirement


@pytest.mark.parametrize(("name", "groups"), LOCKS)
def test_what_locked_packages_need_is_locked_too(name: str, groups: tuple[str, ...], pyproject: dict[str, Any]) -> None:
    """Packages are installed without their dependencies being looked for: a lock that lacks one would break at run time."""
    lock, seen, pending = locked(name), set(), asked(pyproject, *groups)
    while pending:
        requirement = pending.pop()
        version, *_ = lock[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), requirement
        for extra in ("", *sorted(requirement.extras)):
            if (requirement.name, extra) not in seen:
                seen.add((requirement.name, extra))
                pending += needs(requirement.name, version, extra)
    assert len(seen) > 50


def needs(name: str, version: str, extra: str) -> list[Requirement]:
    """What an installed package needs here."""
    try:
        installed = distribution(name)
    except PackageNotFoundError:
        pytest.fail(f"{name} is not installed: run make test")
    assert installed.version == version, f"{name} is not at its locked version: run make test"
    every = [Requirement(entry) for entry in installed.requires or []]
    return [entry for entry in every if entry.marker is None or entry.marker.evaluate({"extra": extra})]


def test_both_locks_agree() -> None:
    run, develop = locked("requirements.lock"), locked("requirements-dev.lock")
    assert {name: develop.get(name) for name in run} == run
