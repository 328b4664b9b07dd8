"""What a run has saved of itself, replaced as a whole: a run that is killed meanwhile finds one or the other."""

import json
import shutil
from pathlib import Path

from accelerate import Accelerator

from agent_runtime.engine.digests import write_atomically

_SAVED, _STEP = "saved", "step.json"


class Savings:
    """The state that accelerate keeps of a step, in a run's folder, and `step`: which one it is, 0 for none."""

    def __init__(self, folder: Path, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._saved, self._old, self._fresh = (folder / f"{_SAVED}{end}" for end in ("", ".old", ".new"))
        self.step = 0

    def save(self, step: int) -> None:
        """Replace what was saved."""
        if self._accelerator.is_main_process:
            shutil.rmtree(self._fresh, ignore_errors=True)
        self._accelerator.wait_for_everyone()
        self._accelerator.save_state(str(self._fresh))
        self._accelerator.wait_for_everyone()
        if self._accelerator.is_main_process:
            write_atomically(self._fresh / _STEP, json.dumps({"step": step}))
            shutil.rmtree(self._old, ignore_errors=True)
            if self._saved.exists():
                self._saved.rename(self._old)
            self._fresh.rename(self._saved)
            shutil.rmtree(self._old, ignore_errors=True)
        self._accelerator.wait_for_everyone()
        self.step = step

    def resume(self) -> int:
        """Take up what was saved last, and return the step to go on with."""
        if not self._saved.exists() and self._old.exists() and self._accelerator.is_main_process:
            self._old.rename(self._saved)  # killed between two renames
        self._accelerator.wait_for_everyone()
        if (self._saved / _STEP).is_file():
            self.step = int(json.loads((self._saved / _STEP).read_text("utf-8"))["step"])
            self._accelerator.load_state(str(self._saved))
        return self.step
