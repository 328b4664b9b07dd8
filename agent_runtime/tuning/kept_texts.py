"""The texts of a file of samples in memory, all of them checked, each compressed, each to be had at any time."""

import zlib
from hashlib import blake2b
from pathlib import Path

from agent_runtime.tuning.samples import read_texts


class KeptTexts:
    """Texts by their numbers, as `sample_of` takes them. `digest` (hex) is that of all of them."""

    def __init__(self, path: Path) -> None:
        """Read a file of samples to its end. Raises SamplesError."""
        self._texts = []
        digest = blake2b(digest_size=16)
        for text in read_texts(path):
            digest.update(text + b"\n")
            self._texts.append(zlib.compress(text, 1))
        self.digest = digest.hexdigest()

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, number: int) -> bytes:
        return zlib.decompress(self._texts[number])
