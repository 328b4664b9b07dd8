"""The texts of a file of samples in memory, compressed, all of them checked, each to be had at any time.

A gzipped file stays as it is. On the way through it the state of its decompression is noted every so many bytes, and a
text is found again from the note before it: nothing is compressed a second time. Of any other file each text is.
"""

import io
import zlib
from bisect import bisect_right
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from agent_runtime.tuning.errors import NotSamples
from agent_runtime.tuning.samples import checked_texts, read_texts

# Bytes that are decompressed at a time. Where one of them is damaged, the lines that they hold are not read.
_PIECE = 8 << 10
# A note takes some 40 KiB. From one to the next, half a dozen samples have to be decompressed to have the last of them.
_PIECES_A_NOTE = 8
_WITH_HEADER = 16 + zlib.MAX_WBITS


class KeptTexts(Protocol):
    """Texts by their numbers."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> bytes: ...


def keep_texts(path: Path) -> KeptTexts:
    """Read a file of samples to its end, and return its texts as `sample_of` takes them. Raises SamplesError."""
    return _Zipped(path) if path.suffix == ".gz" else _Compressed(path)


class _Compressed:
    """Texts that were compressed one by one."""

    def __init__(self, path: Path) -> None:
        self._texts = [zlib.compress(text, 1) for text in read_texts(path)]

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, number: int) -> bytes:
        return zlib.decompress(self._texts[number])


class _Zipped:
    """The texts of a gzipped file."""

    def __init__(self, path: Path) -> None:
        try:
            self._unzipped = Unzipped(path.read_bytes())
        except OSError as error:
            raise NotSamples(path, f"it cannot be read ({error.strerror})") from None
        with io.BufferedReader(self._unzipped, 1 << 17) as file:
            self._places = [(place, len(text)) for place, text in checked_texts(path, file)]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> bytes:
        return self._unzipped.bytes_at(*self._places[number])


class _Note(NamedTuple):
    """How decompression stands before the byte `place` of what is zipped, the next piece being at `first`."""

    place: int
    first: int
    unzip: Any


class Unzipped(io.RawIOBase):
    """What is in the bytes of a gzip file: read once, any of it is to be had again.

    Reading raises zlib.error for bytes that are no gzip file, and EOFError where its end is missing.
    """

    def __init__(self, zipped: bytes) -> None:
        self._zipped = zipped
        self._notes: list[_Note] = []
        self._unzipping = _Unzipping(zipped, 0, zlib.decompressobj(_WITH_HEADER))
        self._num_pieces = 0
        self._data = memoryview(b"")
        self._place = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Return how much was read."""
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Read what comes next."""
        if not self._data:
            if self._num_pieces % _PIECES_A_NOTE == 0:
                self._notes.append(_Note(self._place, *self._unzipping.state()))
            self._num_pieces += 1
            self._data = memoryview(self._unzipping.more())
        count = min(len(buffer), len(self._data))
        buffer[:count] = self._data[:count]
        self._data = self._data[count:]
        self._place += count
        return count

    def bytes_at(self, place: int, count: int) -> bytes:
        """Return bytes that were read before."""
        note = self._notes[bisect_right(self._notes, place, key=lambda note: note.place) - 1]
        unzipping = _Unzipping(self._zipped, note.first, note.unzip.copy())
        pieces, missing = [], place - note.place + count
        while missing > 0:
            pieces.append(unzipping.more())
            missing -= len(pieces[-1])
        return b"".join(pieces)[place - note.place :][:count]


class _Unzipping:
    """Decompression from some place on."""

    def __init__(self, zipped: bytes, first: int, unzip: Any) -> None:
        self._zipped, self._first, self._unzip = zipped, first, unzip

    def state(self) -> tuple[int, Any]:
        """Return what another one goes on from."""
        return self._first, self._unzip.copy()

    def more(self) -> bytes:
        """Return what is in the next piece, or in the first behind it that has anything in it; b"" at the end.

        Raises zlib.error, EOFError.
        """
        while True:
            if self._unzip.eof:  # several gzip files in a row are one, with zeros behind each
                while self._zipped[self._first : self._first + 1] == b"\0":
                    self._first += 1
                if self._first == len(self._zipped):
                    return b""
                self._unzip = zlib.decompressobj(_WITH_HEADER)
            piece = self._zipped[self._first : self._first + _PIECE]
            if not piece:
                raise EOFError
            data: bytes = self._unzip.decompress(piece)
            self._first += len(piece) - len(self._unzip.unused_data)
            if data:
                return data
