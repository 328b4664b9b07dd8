"""What this machine can do, looked at and not measured: packages, devices, models, folders, the port, games.

Nothing here loads a model or starts a server, and nothing is left behind.
"""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from agent_runtime.adapter_choice import Adapter, AdapterChoice
from agent_runtime.engine.errors import first_line
from agent_runtime.engine.model_files import weight_files
from agent_runtime.engine.sources import (
    EMBEDDED,
    cache_folder,
    embedded_gguf,
    place_of,
)
from agent_runtime.errors import HotseatError
from agent_runtime.first_look.findings import Finding, Verdict
from agent_runtime.server.access import check_start
from agent_runtime.server.binding import bound
from agent_runtime.server.config import ServerConfig
from agent_runtime.server.errors import PortInUse
from game_adapters.registry import GAMES_EXTRA
from kv_store import StoreError, list_store
from kv_store.errors import NoStore
from prompts import PromptsError, find_games, load_game

_MIB, _GIB = 2**20, 2**30
# Below this a store fills the disk within a few matches.
_LEAST_FREE_BYTES = _GIB
# What the embedded model takes where it is unpacked.
_UNPACKED_BYTES = 540 * _MIB
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def look_at_packages(distribution: str = "hotseat") -> Finding:
    """Python, and whether every package that Hotseat needs is there in a version that it takes."""
    versions = {"python": platform.python_version()}
    wrong = []
    try:
        needs = importlib.metadata.requires(distribution) or ()
    except importlib.metadata.PackageNotFoundError:
        said = (
            f"{distribution} runs from its sources and is not installed: what it needs is not known. Run: pip install ."
        )
        return Finding("packages", Verdict.WARN, said, {"versions": versions})
    for text in needs:
        needed = Requirement(text)
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(needed.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{needed.name} is missing")
            continue
        versions[needed.name] = version
        if not needed.specifier.contains(version, prereleases=True):
            wrong.append(f"{needed.name} is {version} and has to be {needed.specifier}")
    told = ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "transformers") if name in versions)
    facts = {"versions": versions, "platform": platform.platform(), "executable": sys.executable}
    if wrong:
        return Finding("packages", Verdict.FAIL, f"{'; '.join(wrong)}. Run: pip install --upgrade hotseat", facts)
    return Finding("packages", Verdict.OK, f"{told}, and all others that are needed.", facts)


def look_at_devices() -> Finding:
    """Where the engine would compute, and with how many threads."""
    try:
        import torch
    except Exception as error:  # a broken build raises what its libraries do
        return Finding("device", Verdict.FAIL, f"torch cannot be imported ({first_line(error)}). Install it again.")
    cpus, threads = os.cpu_count() or 1, torch.get_num_threads()
    facts = {"cpus": cpus, "threads": threads, "torch": torch.__version__, "gpus": []}
    if torch.cuda.is_available():
        gpus: list[dict[str, Any]] = [
            {
                "name": torch.cuda.get_device_name(index),
                "memory_bytes": torch.cuda.get_device_properties(index).total_memory,
            }
            for index in range(torch.cuda.device_count())
        ]
        told = ", ".join(f"{gpu['name']} with {gpu['memory_bytes'] / _GIB:.0f} GiB" for gpu in gpus)
        return Finding("device", Verdict.OK, f"{told}; the first one computes.", {**facts, "gpus": gpus})
    from agent_runtime.engine.devices import unused_gpu

    if (trouble := unused_gpu()) is not None:
        return Finding("device", Verdict.WARN, f"There is a GPU, and {trouble.why}. {trouble.advice}.", facts)
    limits = [name for name in _THREAD_VARIABLES if os.environ.get(name, "").isdecimal()]
    if limits and threads < cpus:
        return Finding(
            "device",
            Verdict.WARN,
            f"The CPU computes with {threads} of {cpus} threads, because {limits[0]} is set. Unset it before serving.",
            facts,
        )
    return Finding(
        "device", Verdict.OK, f"The CPU, with {threads} threads on {cpus} processors; no GPU is seen.", facts
    )


def look_at_model(source: str = EMBEDDED, adapter: Adapter = AdapterChoice.DEFAULT) -> Finding:
    """Whether the model is there, and the adapter it is served with; weights are not read but to compare digests."""
    try:
        found = embedded_gguf() if source == EMBEDDED else place_of(source)
        with_adapter, told = _adapter_of(source, adapter)
    except HotseatError as error:
        return Finding("model", Verdict.FAIL, str(error), {"source": source})
    facts = {"source": source, "file": str(found), **told}
    if source == EMBEDDED and isinstance(found, Path):
        facts["bytes"] = found.stat().st_size
        said = f"{found.stem}, in {found.parent}{with_adapter or '; not block-tuned'}."
        return Finding("model", Verdict.OK, said, facts)
    if isinstance(found, str):
        said = f"{source!r} is not on this disk: it is taken for a name on the hub and fetched when it is first served."
        return Finding("model", Verdict.WARN, said, facts)
    if found.is_dir() and not (weight_files(found) and (found / "config.json").is_file()):
        said = f"The folder {found} has no config.json or no weights. Name the folder that the model was saved into."
        return Finding("model", Verdict.FAIL, said, facts)
    return Finding("model", Verdict.OK, f"{found} is there{with_adapter}.", facts)


def _adapter_of(source: str, adapter: Adapter) -> tuple[str, dict[str, object]]:
    """Return in words and as facts which adapter a model is served with. Raises what the adapter is refused with."""
    try:
        from agent_runtime.engine.adapters import find_adapter
    except Exception:  # torch is broken, which is a finding of its own
        return "", {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        found = find_adapter(adapter, source, Path(cache))
    if found is None:
        return "", {"adapter": None}
    modes = list(found.card.block_modes)
    said = f"block-tuned for {' and '.join(modes)}" if modes else "not block-tuned"
    return f", with the adapter in {found.folder}, {said}", {"adapter": str(found.folder), "block_modes": modes}


def look_at_cache(source: str = EMBEDDED, folder: Path | None = None) -> Finding:
    """The folder where models are unpacked: what is in it, and whether there is room for one more."""
    folder = folder or cache_folder()
    models = sorted(path for path in (folder / "models").glob("*") if not path.name.startswith("partial-"))
    size_bytes = sum(file.stat().st_size for model in models for file in model.rglob("*") if file.is_file())
    free_bytes = shutil.disk_usage(_nearest(folder)).free
    facts = {
        "folder": str(folder),
        "models": [model.name for model in models],
        "bytes": size_bytes,
        "free_bytes": free_bytes,
    }
    unpacked = source != EMBEDDED or any(weight_files(model) for model in models)
    if (why := _why_not_writable(folder)) is not None:
        verdict = Verdict.WARN if unpacked else Verdict.FAIL
        said = f"{folder} cannot be written ({why}). Set HOTSEAT_CACHE to a folder that can be."
        return Finding("cache", verdict, said, facts)
    if not unpacked:
        if free_bytes < _UNPACKED_BYTES:
            room = f"{folder} has {free_bytes / _MIB:,.0f} MiB free and unpacking takes 540"
            said = f"{room}. Free some, or set HOTSEAT_CACHE to another folder."
            return Finding("cache", Verdict.FAIL, said, facts)
        said = f"{folder} is empty: the first start unpacks the embedded model, half a minute and 540 MiB, once."
        return Finding("cache", Verdict.OK, said, facts)
    said = f"{folder} holds {_counted(len(models), 'unpacked model')}, {size_bytes / _MIB:,.0f} MiB."
    return Finding("cache", Verdict.OK, said, facts)


def look_at_store(folder: Path | None) -> Finding:
    """Whether a server could keep its matches there."""
    if folder is None:
        return Finding("store", Verdict.OK, "None is named: with --store DIR matches outlive the server.")
    free_bytes = shutil.disk_usage(_nearest(folder)).free
    facts: dict[str, object] = {"folder": str(folder), "free_bytes": free_bytes}
    if (why := _why_not_writable(folder)) is not None:
        return Finding("store", Verdict.FAIL, f"{folder} cannot be written ({why}). Name another folder.", facts)
    room = f"{free_bytes / _GIB:,.1f} GiB are free."
    verdict = Verdict.OK
    if free_bytes < _LEAST_FREE_BYTES:
        verdict, room = Verdict.WARN, f"Only {room} Set --store-budget-mib, or name a folder with more room."
    try:
        listing = list_store(folder)
    except NoStore:
        return Finding("store", verdict, f"{folder} can be written; a server makes a store there. {room}", facts)
    except StoreError as error:
        return Finding("store", Verdict.FAIL, str(error), facts)
    facts |= {"matches": len(listing.matches), "blocks": listing.blocks, "bytes": listing.pack_bytes}
    if listing.holder is not None:
        facts["holder"] = {"pid": listing.holder.pid, "host": listing.holder.host}
        who = f"process {listing.holder.pid} on {listing.holder.host}" if listing.holder.pid else "another process"
        said = f"{folder} is in use by {who}: a second server cannot open it. Stop that one, or name another folder."
        return Finding("store", Verdict.WARN, said, facts)
    said = f"{folder} holds {_counted(len(listing.matches), 'match')}, {listing.pack_bytes / _MIB:,.0f} MiB. {room}"
    return Finding("store", verdict, said, facts)


def look_at_port(config: ServerConfig) -> Finding:
    """Whether a server could listen there now."""
    facts = {"host": config.host, "port": config.port}
    try:
        check_start(config)
        with bound(config):
            return Finding("port", Verdict.OK, f"{config.host}:{config.port} is free.", facts)
    except PortInUse as error:
        return Finding("port", Verdict.WARN, str(error), facts)
    except HotseatError as error:
        return Finding("port", Verdict.FAIL, str(error), facts)


def look_at_games(folders: Sequence[Path] = ()) -> Iterator[Finding]:
    """Whether every game folder loads, and whether the packages of our PettingZoo games are there."""
    try:
        found = find_games(folders)
    except PromptsError as error:
        yield Finding("games", Verdict.FAIL, str(error))
        return
    sound = []
    for name, folder in found.items():
        try:
            load_game(folder)
            sound.append(name)
        except PromptsError as error:
            yield Finding("games", Verdict.WARN, f"{error} A server leaves the game {name!r} out.", {"game": name})
    lacking = [package for package in GAMES_EXTRA if importlib.util.find_spec(package) is None]
    facts = {"games": sound, "lacking": lacking}
    if lacking:
        said = (
            f'To play hold\'em and connect four here, {" and ".join(lacking)} are missing: pip install "hotseat[games]"'
        )
        yield Finding("games", Verdict.WARN, said, facts)
    else:
        yield Finding("games", Verdict.OK, f"{', '.join(sorted(sound))}.", facts)


def _nearest(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())


def _why_not_writable(folder: Path) -> str | None:
    """Why nothing can be put into a folder (or into what it would be made in), None if it can."""
    place = _nearest(folder)
    if not place.is_dir():
        return f"{place} is a file"
    try:
        with tempfile.TemporaryFile(dir=place):
            return None
    except OSError as error:
        return error.strerror or str(error)


def _counted(number: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
