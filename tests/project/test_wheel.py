"""The distribution holds what it should: five packages, their data, the licence, no more."""

import email
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from shared import VERSION

ROOT = Path(__file__).parents[2]
PACKAGES = {"agent", "heartline", "master", "shared", "tui"}
OFFLINE = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation")
IGNORED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from a copy so that nothing is left in the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = shutil.copytree(ROOT, folder / "source", ignore=IGNORED)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *OFFLINE, "--wheel-dir", str(folder), str(copy)],
        check=True,
        timeout=120,
    )
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def files(wheel: zipfile.ZipFile, *, metadata: bool) -> set[str]:
    names = [name for name in wheel.namelist() if not name.endswith("/")]
    return {name for name in names if name.split("/")[0].endswith(".dist-info") is metadata}


def test_wheel_holds_exactly_the_files_of_the_five_packages(wheel: zipfile.ZipFile) -> None:
    expected = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files(wheel, metadata=False) == expected


def test_every_package_says_that_it_is_typed(wheel: zipfile.ZipFile) -> None:
    assert {f"{package}/py.typed" for package in PACKAGES} <= files(wheel, metadata=False)


def test_wheel_has_the_version_of_the_code_the_licence_and_the_command(
    wheel: zipfile.ZipFile,
) -> None:
    folder = f"heartline-{VERSION}.dist-info"
    metadata = email.message_from_bytes(wheel.read(f"{folder}/METADATA"))
    assert (metadata["Name"], metadata["Version"]) == ("heartline", VERSION)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert wheel.read(f"{folder}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    entry_points = wheel.read(f"{folder}/entry_points.txt").decode()
    assert "heartline = heartline.start:main" in entry_points


def test_agent_alone_needs_neither_dashboard_nor_database(wheel: zipfile.ZipFile) -> None:
    metadata = email.message_from_bytes(wheel.read(f"heartline-{VERSION}.dist-info/METADATA"))
    requirements = metadata.get_all("Requires-Dist", [])
    always = {text.split(">")[0].strip() for text in requirements if "extra ==" not in text}
    assert always == {"click", "cryptography", "msgspec", "platformdirs", "psutil", "trio"}
    assert set(metadata.get_all("Provides-Extra", [])) == {"master", "tui", "all"}


def test_every_file_that_git_knows_in_a_package_is_python_or_declared_data() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    suffixes = {pattern.removeprefix("*") for pattern in declared["package-data"]["*"]}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert path.suffix == ".py" or path.suffix in suffixes or path.name in suffixes, (
                    path
                )
