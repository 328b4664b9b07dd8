"""What was saved is there as a whole, whenever the run is killed."""

from pathlib import Path
from typing import Any

import pytest

from agent_runtime.tuning.errors import OtherLaunch
from agent_runtime.tuning.saving import Savings


class FakeAccelerator:
    """Keeps a text for a state."""

    is_main_process = True

    def __init__(self) -> None:
        self.state = ""

    def wait_for_everyone(self) -> None:
        pass

    def register_save_state_pre_hook(self, hook: Any) -> None:
        pass

    def save_state(self, folder: str) -> None:
        Path(folder).mkdir()
        (Path(folder) / "state").write_text(self.state)

    def load_state(self, folder: str) -> None:
        self.state = (Path(folder) / "state").read_text()


def savings(folder: Path, state: str = "") -> tuple[Savings, FakeAccelerator]:
    fake: Any = FakeAccelerator()
    fake.state = state
    return Savings(folder, fake), fake


def test_what_was_saved_last_is_taken_up(tmp_path: Path) -> None:
    first, fake = savings(tmp_path)
    assert (first.resume(), first.step) == (0, 0)
    for step in (4, 8):
        fake.state = f"state of {step}"
        first.save(step)
        assert first.step == step and [each.name for each in tmp_path.iterdir()] == ["saved"]
    second, other = savings(tmp_path)
    assert (second.resume(), second.step, other.state) == (8, 8, "state of 8")


def test_whoever_was_killed_while_saving_goes_on_with_what_was_whole(tmp_path: Path) -> None:
    savings(tmp_path, "whole")[0].save(4)
    (tmp_path / "saved").rename(tmp_path / "saved.old")
    (tmp_path / "saved.new").mkdir()
    (tmp_path / "saved.new" / "state").write_text("half")
    after, fake = savings(tmp_path)
    assert (after.resume(), fake.state) == (4, "whole")
    after.save(6)
    assert savings(tmp_path)[0].resume() == 6


def test_what_other_processes_saved_is_refused_and_left_alone(tmp_path: Path) -> None:
    first, fake = savings(tmp_path, "theirs")
    first.save(4)
    fresh: Any = FakeAccelerator()
    with pytest.raises(OtherLaunch, match="that of 1 process, and here is 2 processes.*Launch it as it was") as caught:
        Savings(tmp_path, fresh, "2 processes").resume()
    assert (caught.value.saved, caught.value.now, fresh.state) == ("1 process", "2 processes", "")
    (tmp_path / "saved" / "launch.json").unlink()  # as it was before it was noted
    assert Savings(tmp_path, fresh, "2 processes").resume() == 4
