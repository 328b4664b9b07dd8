"""What a run has saved of itself, replaced as a whole: a run that is killed meanwhile finds one or the other."""

import json
import shutil
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from accelerate import Accelerator
from safetensors import SafetensorError, safe_open

from agent_runtime.engine.errors import first_line
from agent_runtime.tuning.errors import DamagedSaving, NotSaved, OtherLaunch

_SAVED, _STEP, _LAUNCH = "saved", "step.json", "launch.json"


class Savings:
    """The state that accelerate keeps of a step, in a run's folder, and `step`: which one it is, 0 for none.

    `launch` says in words by which processes (`launching.kind_of`).
    """

    def __init__(self, folder: Path, accelerator: Accelerator, launch: str = "1 process") -> None:
        self._folder, self._accelerator, self._launch = folder, accelerator, launch
        self._saved, self._old, self._fresh = (folder / f"{_SAVED}{end}" for end in ("", ".old", ".new"))
        self.step = 0

    def save(self, step: int) -> None:
        """Replace what was saved. Raises NotSaved, and then what was saved before is still there."""
        if self._accelerator.is_main_process:
            shutil.rmtree(self._fresh, ignore_errors=True)
        self._accelerator.wait_for_everyone()
        try:
            self._write(step)
        except (OSError, RuntimeError, SafetensorError) as error:  # as torch and safetensors have it of a full disk
            raise NotSaved(step, self._saved, first_line(error)) from error
        self._accelerator.wait_for_everyone()
        self.step = step

    def _write(self, step: int) -> None:
        self._accelerator.save_state(str(self._fresh))
        self._accelerator.wait_for_everyone()
        if self._accelerator.is_main_process:
            noted = {"launch": self._launch, "files": _sizes(self._fresh)}
            # Whatever is not written raises, and the folder is not yet what it will be called.
            (self._fresh / _LAUNCH).write_text(json.dumps(noted), "utf-8")
            (self._fresh / _STEP).write_text(json.dumps({"step": step}), "utf-8")
            shutil.rmtree(self._old, ignore_errors=True)
            if self._saved.exists():
                self._saved.rename(self._old)
            self._fresh.rename(self._saved)
            shutil.rmtree(self._old, ignore_errors=True)

    def resume(self) -> int:
        """Take up what was saved last, and return the step to go on with.

        Raises OtherLaunch if other processes saved it, and DamagedSaving; what was saved before either was noted is
        taken up by any, as far as it can be read.
        """
        if not self._saved.exists() and self._old.exists() and self._accelerator.is_main_process:
            self._old.rename(self._saved)  # killed between two renames
        self._accelerator.wait_for_everyone()
        if (self._saved / _STEP).is_file():
            noted = self._noted(_LAUNCH) if (self._saved / _LAUNCH).is_file() else {}
            launch = noted.get("launch", self._launch)
            if launch != self._launch:
                raise OtherLaunch(self._folder, launch, self._launch)
            for name, size in noted.get("files", {}).items():
                self._check_size(self._saved / name, size)
            step = int(self._noted(_STEP)["step"])
            try:
                self._accelerator.load_state(str(self._saved))
            except Exception as error:
                if (damaged := _first_damaged(self._saved)) is None:
                    raise
                raise DamagedSaving(damaged, self._saved, first_line(error)) from error
            self.step = step
        return self.step

    def _noted(self, name: str) -> dict[str, Any]:
        try:
            return dict(json.loads((self._saved / name).read_text("utf-8")))
        except (ValueError, TypeError) as error:
            raise DamagedSaving(self._saved / name, self._saved, "it is no JSON") from error

    def _check_size(self, file: Path, size: int) -> None:
        if not file.is_file():
            raise DamagedSaving(file, self._saved, "it is not there")
        if (found := file.stat().st_size) != size:
            raise DamagedSaving(file, self._saved, f"it has {found:,} bytes, and {size:,} were saved")


def _sizes(folder: Path) -> dict[str, int]:
    """Return the sizes of all files below a folder, by their names in it, in bytes."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {file.relative_to(folder).as_posix(): file.stat().st_size for file in files}


def _first_damaged(folder: Path) -> Path | None:
    """Return the first file of safetensors or of torch's below a folder that cannot be read to its end, if any."""
    for file in sorted(folder.rglob("*")):
        try:
            if file.suffix == ".safetensors":
                with safe_open(file, "pt"):
                    pass
            elif file.suffix in (".bin", ".pkl"):  # as torch saves: a zip archive
                with ZipFile(file) as archive:
                    if archive.testzip() is not None:
                        return file
        except (OSError, SafetensorError, BadZipFile):
            return file
    return None
