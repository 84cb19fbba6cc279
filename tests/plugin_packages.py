"""Packages with strategies, as pip would install them, but without pip."""

import tomllib
from pathlib import Path

EXAMPLE = Path(__file__).parent.parent / "examples" / "plugin-strategy"


def install(site: Path, name: str, version: str, entries: dict[str, str]) -> None:
    """Write the dist-info of a package with these entry points."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"{entry} = {value}\n" for entry, value in entries.items()]
    (info / "entry_points.txt").write_text("".join(["[grambench.strategies]\n", *lines]))


def install_example(site: Path) -> None:
    """The package of `examples/plugin-strategy`, by its own pyproject.toml; its folder is put on the path."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    entries = project["entry-points"]["grambench.strategies"]
    install(site, project["name"], project["version"], entries)
