"""An adapter as it is shipped: in bfloat16, half as large, and without the paths of the machine it was tuned on.

python -m agent_runtime.tuning.shipping tuned/adapter agent_runtime/tuned
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from agent_runtime.engine.adapters import (
    CONFIG,
    WEIGHTS,
    adapter_config,
    adapter_digest,
    adapter_folder,
    check_whole,
    is_plain,
)
from agent_runtime.engine.card import CARD, read_card
from agent_runtime.engine.merging import check_numbers
from agent_runtime.tuning.errors import NotTrainable


def ship(adapter: Path, folder: Path) -> int:
    """Write an adapter's three files into a folder as they are shipped, and return how many bytes they are.

    Raises NotTrainable if it takes PEFT to load it or its card names no weights, and ModelNotFound or BrokenModel.
    """
    source = adapter_folder(adapter)
    if not is_plain(source):
        raise NotTrainable(f"{source} is more than plain LoRA, and would need PEFT wherever it is served.")
    check_whole(source, read_card(source / CARD))
    if read_card(source / CARD).base is None:
        raise NotTrainable(f"{source} has no card ({CARD}) that names the weights it belongs to.")
    tuned = load_file(source / WEIGHTS)
    check_numbers(source, tuned)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: weight.to(torch.bfloat16).contiguous() for name, weight in tuned.items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    config = {**adapter_config(source), "base_model_name_or_path": None}
    if isinstance(modules := config.get("target_modules"), list):
        config["target_modules"] = sorted(modules)  # a set that PEFT writes in any order
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
    card = json.loads((source / CARD).read_text("utf-8"))
    card["digest"] = adapter_digest(folder)
    (folder / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return sum((folder / name).stat().st_size for name in (WEIGHTS, CONFIG, CARD))


if __name__ == "__main__":
    print(f"{ship(Path(sys.argv[1]), Path(sys.argv[2])) / 1e6:.1f} MB")
