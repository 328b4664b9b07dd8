"""A saved step holds what is trained, and what goes on from it is, to the bit, what would have come of the run."""

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from agent_runtime.tuning import student
from tests.agent_runtime.tuning.test_training import config, home, on_a_cpu, run

__all__ = ["home", "on_a_cpu"]
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

WEIGHTS = "saved/model.safetensors"


def made(home: Path, folder: str) -> bytes:
    """Return the weights that came out of a run."""
    [file] = [*(home / folder).glob("adapter/*.safetensors"), *(home / folder).glob("model/*.safetensors")]
    return file.read_bytes()


@pytest.mark.parametrize("lora_rank", [4, 0])
def test_a_run_goes_on_to_the_bit_from_the_weights_that_are_trained(home: Path, lora_rank: int) -> None:
    tuned: Any = config(home, lora_rank=lora_rank)
    run(tuned, home / "whole")
    run(tuned, home / "halves", stop_after=6)
    saved = load_file(home / "halves" / WEIGHTS)
    run(tuned, home / "halves")
    assert made(home, "halves") == made(home, "whole")
    if lora_rank:
        assert {name.split(".")[-3] for name in saved} == {"lora_A", "lora_B"}
        size = (home / "halves" / WEIGHTS).stat().st_size
        assert size < 1.5 * (home / "halves/adapter/adapter_model.safetensors").stat().st_size
    else:
        its_own = load_file(home / "guard/model.safetensors")
        assert {name.removeprefix("model.") for name in saved} == {*its_own}


def test_a_run_goes_on_from_the_adapter_of_another_as_if_it_had_not_been_stopped(home: Path) -> None:
    run(config(home, steps=2), home / "first")
    further = config(home, adapter="first/adapter", seed=1)
    run(further, home / "whole")
    run(further, home / "halves", stop_after=6)
    run(further, home / "halves")
    assert made(home, "halves") == made(home, "whole")


def test_a_step_that_was_saved_with_all_weights_is_taken_up(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(config(home), home / "whole")
    with monkeypatch.context() as before:
        before.setattr(student, "_leave_out_untrained", lambda *_: None)
        run(config(home), home / "halves", stop_after=6)
    assert any("base_layer" in name for name in load_file(home / "halves" / WEIGHTS))
    run(config(home), home / "halves")
    assert made(home, "halves") == made(home, "whole")


def test_a_saved_step_that_lacks_a_trained_weight_is_not_taken_up(home: Path) -> None:
    run(config(home), home / "run", stop_after=6)
    saved = load_file(home / "run" / WEIGHTS)
    name = max(saved)
    save_file({key: weight for key, weight in saved.items() if key != name}, home / "run" / WEIGHTS)
    (home / "run/saved/launch.json").unlink()  # as it was before sizes were noted
    with pytest.raises(RuntimeError, match=f"(?s)Missing key.*{name}"):
        run(config(home), home / "run")
