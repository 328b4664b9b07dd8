"""What was saved is there as a whole, whenever the run is killed."""

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest

from agent_runtime.tuning.errors import DamagedSaving, NotSaved, OtherLaunch
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


class Killed(BaseException):
    """Nothing that is done afterwards is done."""


def killed_at(moment: int, monkeypatch: pytest.MonkeyPatch, fake: Any) -> None:
    """Let whatever `Savings` does on the disk be cut off at the operation with a number."""
    begun = iter(range(moment + 1))

    def cut(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def call(*given: Any, **more: Any) -> Any:
            if next(begun, moment) == moment:
                raise Killed
            return real(*given, **more)

        monkeypatch.setattr(owner, name, call)

    cut(shutil, "rmtree")
    cut(Path, "rename")
    cut(Path, "write_text")
    cut(fake, "save_state")


def test_whenever_a_run_is_killed_while_saving_it_goes_on_with_one_saving_or_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for moment in range(99):
        folder = tmp_path / str(moment)
        made, fake = savings(folder, "state of 4")
        folder.mkdir()
        made.save(4)
        fake.state = "state of 8"
        with monkeypatch.context() as patched:
            killed_at(moment, patched, fake)
            try:
                made.save(8)
                break
            except Killed:
                pass
        after, other = savings(folder)
        found.append(after.resume())
        assert other.state == f"state of {found[-1]}"
        after.save(12)
        assert savings(folder)[0].resume() == 12 and [each.name for each in folder.iterdir()] == ["saved"]
    assert found == sorted(found) and {*found} == {4, 8} and len(found) > 6


def test_a_disk_that_is_full_leaves_what_was_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, fake = savings(tmp_path, "state of 4")
    made.save(4)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for owner, name in ((fake, "save_state"), (Path, "write_text")):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, full)
            with pytest.raises(NotSaved, match="Step 8 could not be saved: .*No space left.* make room"):
                made.save(8)
        after, other = savings(tmp_path)
        assert (made.step, after.resume(), other.state) == (4, 4, "state of 4")


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("state", lambda file: file.write_text("ha"), "it has 2 bytes, and 10 were saved"),
        ("state", Path.unlink, "it is not there"),
        ("step.json", lambda file: file.write_text('{"st'), "it is no JSON"),
        ("launch.json", lambda file: file.write_text(""), "it is no JSON"),
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, name: str, damage: Any, said: str) -> None:
    savings(tmp_path, "state of 4")[0].save(4)
    damage(tmp_path / "saved" / name)
    after, fake = savings(tmp_path)
    with pytest.raises(DamagedSaving, match=f"{name}, .* is damaged: {said}.* delete the folder .*saved and") as caught:
        after.resume()
    assert (caught.value.file, after.step, fake.state) == (tmp_path / "saved" / name, 0, "")


def test_what_other_processes_saved_is_refused_and_left_alone(tmp_path: Path) -> None:
    first, fake = savings(tmp_path, "theirs")
    first.save(4)
    fresh: Any = FakeAccelerator()
    with pytest.raises(OtherLaunch, match="that of 1 process, and here is 2 processes.*Launch it as it was") as caught:
        Savings(tmp_path, fresh, "2 processes").resume()
    assert (caught.value.saved, caught.value.now, fresh.state) == ("1 process", "2 processes", "")
    (tmp_path / "saved" / "launch.json").unlink()  # as it was before it was noted
    assert Savings(tmp_path, fresh, "2 processes").resume() == 4
