"""`hotseat doctor`: everything looked at, then measured, each with a verdict."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from agent_runtime.adapter_choice import Adapter, AdapterChoice
from agent_runtime.engine.errors import first_line
from agent_runtime.engine.sources import EMBEDDED
from agent_runtime.first_look.findings import Finding, Verdict
from agent_runtime.first_look.machine import (
    look_at_cache,
    look_at_devices,
    look_at_games,
    look_at_model,
    look_at_packages,
    look_at_port,
    look_at_store,
)
from agent_runtime.server.config import ServerConfig

REPORT_FORMAT = "hotseat.doctor"
REPORT_VERSION = 1


def examine(
    *,
    model: str = EMBEDDED,
    adapter: Adapter = AdapterChoice.DEFAULT,
    store: Path | None = None,
    games: Sequence[Path] = (),
    server: ServerConfig | None = None,
    quick: bool = False,
) -> Iterator[Finding]:
    """Yield one finding after another; the measurements come last, unless `quick`, and only if they can succeed."""
    looked: list[Finding] = []
    for finding in _look(model, adapter, store, games, server or ServerConfig()):
        looked.append(finding)
        yield finding
    if quick:
        return
    broken = next((each for each in looked if each.verdict is Verdict.FAIL and each.name in _NEEDED), None)
    if broken is not None:
        yield Finding("rates", Verdict.WARN, f"Nothing was measured: mend {broken.name!r} first.")
        return
    yield _measured(model, adapter, store)


_NEEDED = ("packages", "device", "model", "cache")


def _look(
    model: str, adapter: Adapter, store: Path | None, games: Sequence[Path], server: ServerConfig
) -> Iterator[Finding]:
    yield look_at_packages()
    yield look_at_devices()
    yield look_at_model(model, adapter)
    yield look_at_cache(model)
    yield look_at_store(store)
    yield look_at_port(server)
    yield from look_at_games(games)


def _measured(model: str, adapter: Adapter, store: Path | None) -> Finding:
    from agent_runtime.first_look.rates import measure

    disk = next((path for path in (store.absolute().parents if store else ()) if path.is_dir()), None)
    try:
        rates = measure(model, disk, adapter)
    except Exception as error:  # whatever it is, a server would meet it as well
        return Finding("rates", Verdict.FAIL, f"{first_line(error)}.")
    told = [f"encodes {rates.encoded_tokens_s:,.0f} tokens/s"]
    if rates.decoded_tokens_s is not None:
        told.append(f"decodes {rates.decoded_tokens_s:,.1f} tokens/s")
    if rates.loaded_tokens_s is None or rates.loaded_mib_s is None:
        said = f"The model {', '.join(told)}; blocks did not come back from {disk or 'the temporary folder'}."
        return Finding("rates", Verdict.WARN, said, asdict(rates))
    told.append(f"loads {rates.loaded_tokens_s:,.0f} tokens/s ({rates.loaded_mib_s:,.0f} MiB/s, just written)")
    times = rates.loaded_tokens_s / rates.encoded_tokens_s
    said = (
        f"The model {', '.join(told)}: a block that is loaded comes {times:.1f} times as fast as one that is encoded."
    )
    if times < 1:
        said += " Put the store on a faster disk; until then a server encodes what it could load."
    if rates.host_cache_mib:
        said += f" Up to {rates.host_cache_mib / 1024:,.0f} GiB of host memory lie behind the pool."
    return Finding("rates", Verdict.WARN if times < 1 else Verdict.OK, said, asdict(rates))
