"""agent_runtime.engine.bars: nothing is drawn while weights are loaded, and nothing of the user's is changed by it."""

from pathlib import Path
from typing import Any

import pytest
from transformers.utils import logging

from agent_runtime.engine.bars import no_bars
from agent_runtime.engine.loading import ModelSpec, load_model
from tests.tiny_models import save_tiny_gguf, save_tiny_model


def set_hook(hook: Any) -> Any:
    return logging.set_tqdm_hook(hook)


@pytest.fixture
def users_hook(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Bars are on, whatever the environment says, and the user has set something."""

    def users(make: Any, positional: Any, named: Any) -> Any:
        return make(*positional, **named)

    monkeypatch.setattr(logging, "_tqdm_active", True)
    before = set_hook(users)
    yield users
    set_hook(before)


def test_loading_draws_no_bar_and_leaves_the_settings_as_they_were(
    tmp_path: Path, users_hook: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, gguf = save_tiny_model(tmp_path / "guard", "llama"), save_tiny_gguf(tmp_path / "guard.gguf")
    capsys.readouterr()
    load_model(ModelSpec(str(folder)), tmp_path / "cache")
    assert capsys.readouterr().err == ""
    load_model(ModelSpec(str(gguf)), tmp_path / "cache")
    said = capsys.readouterr().err
    assert "Loading weights" not in said and "shards" not in said, "only unpacking shows how far it is"
    assert logging.is_progress_bar_enabled() and set_hook(users_hook) is users_hook
    assert list(logging.tqdm(range(2), desc="The user's own")) == [0, 1]
    assert "The user's own" in capsys.readouterr().err


def test_a_load_that_fails_puts_the_settings_back(users_hook: Any) -> None:
    with pytest.raises(ZeroDivisionError), no_bars():
        raise ZeroDivisionError
    assert set_hook(users_hook) is users_hook


@pytest.mark.parametrize("first", [0, 1])
def test_two_at_once_put_the_settings_back_whoever_ends_first(users_hook: Any, first: int) -> None:
    both = no_bars(), no_bars()
    for each in both:
        each.__enter__()
    both[first].__exit__(None, None, None)
    both[1 - first].__exit__(None, None, None)
    assert set_hook(users_hook) is users_hook
