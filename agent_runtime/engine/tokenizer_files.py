"""A tokenizer read from where it lies, without the weights beside it."""

from pathlib import Path
from typing import Any

import transformers
from transformers import PreTrainedTokenizerFast

from agent_runtime.engine.errors import BrokenModel, first_line


def read_tokenizer(source: str, folder: Path | str) -> PreTrainedTokenizerFast:
    """Return the tokenizer of `source`, which lies in a folder or at a hub. Raises BrokenModel."""
    try:
        # AutoTokenizer would wait for torch.
        is_plain = isinstance(folder, Path) and (folder / "tokenizer.json").is_file()
        kind: Any = PreTrainedTokenizerFast if is_plain else transformers.AutoTokenizer
        tokenizer = kind.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        raise BrokenModel(source, f"its tokenizer cannot be read: {first_line(error)}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise BrokenModel(source, "its tokenizer has no fast form", "Add a tokenizer.json to the folder.")
    return tokenizer
