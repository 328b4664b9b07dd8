"""What a run has saved of itself, replaced as a whole: a run that is killed meanwhile finds one or the other."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from agent_runtime.engine.digests import write_atomically
from agent_runtime.tuning.errors import OtherLaunch

_SAVED, _STEP, _LAUNCH = "saved", "step.json", "launch.json"


class Savings:
    """The state that accelerate keeps of a step, in a run's folder, and `step`: which one it is, 0 for none.

    `launch` says in words by which processes (`launching.kind_of`).
    """

    def __init__(self, folder: Path, accelerator: Accelerator, launch: str = "1 process") -> None:
        self._folder, self._accelerator, self._launch = folder, accelerator, launch
        self._saved, self._old, self._fresh = (folder / f"{_SAVED}{end}" for end in ("", ".old", ".new"))
        self.step = 0
        accelerator.register_save_state_pre_hook(_leave_out_further_names)

    def save(self, step: int) -> None:
        """Replace what was saved."""
        if self._accelerator.is_main_process:
            shutil.rmtree(self._fresh, ignore_errors=True)
        self._accelerator.wait_for_everyone()
        self._accelerator.save_state(str(self._fresh))
        self._accelerator.wait_for_everyone()
        if self._accelerator.is_main_process:
            write_atomically(self._fresh / _LAUNCH, json.dumps({"launch": self._launch}))
            write_atomically(self._fresh / _STEP, json.dumps({"step": step}))
            shutil.rmtree(self._old, ignore_errors=True)
            if self._saved.exists():
                self._saved.rename(self._old)
            self._fresh.rename(self._saved)
            shutil.rmtree(self._old, ignore_errors=True)
        self._accelerator.wait_for_everyone()
        self.step = step

    def resume(self) -> int:
        """Take up what was saved last, and return the step to go on with.

        Raises OtherLaunch if other processes saved it; what was saved before they were noted is taken up by any.
        """
        if not self._saved.exists() and self._old.exists() and self._accelerator.is_main_process:
            self._old.rename(self._saved)  # killed between two renames
        self._accelerator.wait_for_everyone()
        if (self._saved / _STEP).is_file():
            noted = self._saved / _LAUNCH
            launch = json.loads(noted.read_text("utf-8"))["launch"] if noted.is_file() else self._launch
            if launch != self._launch:
                raise OtherLaunch(self._folder, launch, self._launch)
            self.step = int(json.loads((self._saved / _STEP).read_text("utf-8"))["step"])
            self._accelerator.load_state(str(self._saved))
        return self.step


def further_names(model: torch.nn.Module) -> set[str]:
    """Return the further names of parameters that have several: a head that is the embeddings."""
    once, all_of_them = (model.named_parameters(remove_duplicate=each) for each in (True, False))
    return {name for name, _ in all_of_them} - {name for name, _ in once}


def _leave_out_further_names(models: Sequence[torch.nn.Module], weights: Sequence[dict[str, Any]], _: str) -> None:
    """Leave each parameter one name, as safetensors wants it: accelerate would, with a warning at every save.

    Where weights lie in parts there are none here: each process writes its own.
    """
    for model, state in zip(models, weights, strict=False):
        for name in further_names(model):
            state.pop(name, None)
