"""What a runtime says of its models and games: to clients, and in recordings."""

from collections.abc import Iterable, Mapping

from agent_runtime.served_model import ServedModel
from agent_runtime.turn import Json
from prompts import Game


def describe(served: Mapping[str, ServedModel], games: Iterable[Game]) -> dict[str, Json]:
    """Return the models and games that clients may name."""
    return {
        "models": [
            {
                "name": name,
                "source": each.loaded.name,
                "block_tuned": each.loaded.block_tuned,
                "context": each.loaded.context_limit,
            }
            for name, each in served.items()
        ],
        "games": [{"name": game.name, "title": game.title, "personas": sorted(game.personas)} for game in games],
    }


def digests(served: ServedModel, game: Game) -> dict[str, str]:
    """Return what a recording says of the model that it was made with, and of each file of the game's folder."""
    return {
        "weights": served.loaded.digest,
        "adapter": served.loaded.adapter_digest or "",
        "tokenizer": served.loaded.tokenizer_digest,
        "fingerprint": served.fingerprint,
        **{f"game/{file}": digest for file, digest in game.text_digests().items()},
    }
