"""What a figure was measured on: it goes into every report."""

import os
import platform
from typing import Any

import torch
import transformers

from agent_runtime.engine.cpu_products import multiplies_by_onednn
from agent_runtime.engine.loading import LoadedModel


def environment(loaded: LoadedModel) -> dict[str, Any]:
    """Return the machine, the versions and the model that a report belongs to.

    `products` is the library that multiplies many rows on a CPU: which one is faster is measured at every start.
    """
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "device": device,
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "products": "onednn" if multiplies_by_onednn(loaded.model) else "torch",
        "model": loaded.name,
        "weights_digest": loaded.digest,
    }
