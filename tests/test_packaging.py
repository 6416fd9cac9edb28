"""What the project promises about itself: version, dependencies, the built wheel."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata

import pytest

import fingan

# Not open source (Business Source Licence), or requiring such a package.
BARRED = {"sdv", "ctgan", "rdt", "copulas", "deepecho", "sdgym", "sdmetrics"}


@pytest.fixture(scope="module")
def project(repository):
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))


def plain(name: str) -> str:
    """Return a requirement's distribution name in its normal form."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;]", name.strip(), maxsplit=1)[0]).lower()


def requirements(project) -> set[str]:
    extras = project["project"]["optional-dependencies"].values()
    return {plain(r) for group in (project["project"]["dependencies"], *extras) for r in group}


def test_the_version_is_said_once():
    assert re.fullmatch(r"\d+\.\d+\.\d+", fingan.__version__)
    assert metadata.version("fingan") == fingan.__version__


def test_the_change_log_knows_the_version(repository):
    assert f"## {fingan.__version__}" in (repository / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_extras_of_the_contract_exist(project):
    extras = set(project["project"]["optional-dependencies"])
    assert extras == {"evaluation", "series", "oidc", "s3", "mlflow", "wandb", "dev"}


def test_no_barred_package_is_required_or_installed(project):
    assert not requirements(project) & BARRED
    assert not {plain(d.name) for d in metadata.distributions()} & BARRED


def test_every_direct_dependency_is_pinned_for_the_makefile(project, repository):
    lines = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w-]+==[\w.]+", pin) for pin in pins)
    assert {plain(pin) for pin in pins} == requirements(project)


def test_the_environment_is_the_pinned_one(repository):
    lines = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    for name, version in (line.split("==") for line in lines if "==" in line):
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        assert installed.partition("+")[0] == version, name


@pytest.mark.slow
def test_the_wheel_holds_the_package_with_its_data_and_nothing_else(repository, tmp_path):
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(repository)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert tops == {"fingan", f"fingan-{fingan.__version__}.dist-info"}
    source = [p for p in (repository / "fingan").rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert {str(p.relative_to(repository)) for p in source} == {n for n in names if n.startswith("fingan/")}
    assert "fingan/py.typed" in names
    assert any(n.endswith("/licenses/LICENSE") for n in names)
