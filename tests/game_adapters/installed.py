"""Packages with games, as pip would leave them behind."""

from pathlib import Path


def install(folder: Path, package: str, games: dict[str, str], **modules: str) -> None:
    """What pip would leave behind in a folder on the path: modules, a distribution, and its entry points."""
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    info = folder / f"{package}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n", encoding="utf-8")
    lines = [f"{name} = {value}" for name, value in games.items()]
    (info / "entry_points.txt").write_text("\n".join(["[hotseat.games]", *lines]), encoding="utf-8")


def write_folder(folder: Path, title: str) -> None:
    folder.mkdir()
    (folder / "game.toml").write_text(f'name = "{folder.name}"\ntitle = "{title}"\n', encoding="utf-8")
    (folder / "rules.md").write_text("Wait.\n", encoding="utf-8")


WAITING = """
class Waiting:
    folder = "quiet"
    def describe(self, env, agent): return {}
    def action_names(self, env, agent): return ["wait"]
"""
