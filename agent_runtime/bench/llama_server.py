"""The same prompts on a llama.cpp server: what a game team would use otherwise. Its own prefix cache is on.

Start one with the same weights, for instance `llama-server -m MODEL.gguf -t 2 -np 1`. Prompts go over as token ids, so
that both see the same; measured is the wall clock of a request for one token.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import ClassVar

from agent_runtime.errors import HotseatError

_TIMEOUT_S = 300


@dataclass(eq=False)
class NoLlamaServer(HotseatError):
    """Nothing answers there as llama.cpp does."""

    url: str
    why: str
    code: ClassVar[str] = "no_llama_server"

    def __str__(self) -> str:
        return (
            f"{self.url} does not answer as a llama.cpp server: {self.why}. "
            "Start llama-server with the same model, and give its address, as http://127.0.0.1:8080."
        )


class LlamaServer:
    """A client of one slot of a llama.cpp server."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def first_token_ms(self, ids: Sequence[int]) -> float:
        """Return the time until the first token behind `ids` is here. Raises NoLlamaServer."""
        body = {"prompt": list(ids), "n_predict": 1, "temperature": 0, "cache_prompt": True}
        begin = time.perf_counter()
        answer = self._post(body)
        took_ms = 1e3 * (time.perf_counter() - begin)
        seen = answer.get("tokens_evaluated")
        if seen != len(ids):
            raise NoLlamaServer(self._url, f"it took {len(ids)} tokens for {seen}, so its model is another one")
        return took_ms

    def _post(self, body: dict[str, object]) -> dict[str, object]:
        content, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        try:
            request = urllib.request.Request(f"{self._url}/completion", content, headers)
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
                answer = json.load(response)
        except (OSError, ValueError, HTTPException) as error:
            raise NoLlamaServer(self._url, str(error).strip()) from error
        if not isinstance(answer, dict):
            raise NoLlamaServer(self._url, "its answer is no JSON object")
        return answer
