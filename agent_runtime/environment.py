"""What a figure was measured on: it goes into every report."""

import os
import platform
from typing import Any

import torch
import transformers


def environment(model: str, digest: str) -> dict[str, Any]:
    """Return the machine, the versions and the model that a report belongs to."""
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "device": device,
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "model": model,
        "weights_digest": digest,
    }
