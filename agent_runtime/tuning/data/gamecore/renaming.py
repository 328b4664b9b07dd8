"""Fields of records under other names: two games seldom call a thing alike, and a question may call it otherwise.

What is held out, a quest's hero and where it leads, keeps its names, and so do rules and links.
"""

from collections.abc import Mapping
from random import Random
from types import MappingProxyType
from typing import Any

OTHER_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "terrain": ("ground", "landscape"),
        "danger": ("peril", "risk", "threat"),
        "roads": ("exits", "paths"),
        "ruler": ("governed_by", "ruled_by"),
        "weather": ("climate", "sky"),
        "people": ("inhabitants", "population"),
        "stores": ("stock", "supplies"),
        "team": ("faction", "side"),
        "hp": ("health", "hit_points", "life"),
        "weapon": ("armed_with", "wields"),
        "region": ("located_in", "location", "place"),
        "ally": ("allied_with", "friendly_with"),
        "carries": ("carried_thing", "holds"),
        "rank": ("grade", "position"),
        "mood": ("feeling", "temper"),
        "armour": ("defence", "protection"),
        "gold": ("coins", "money"),
        "pack": ("bag", "inventory"),
        "weight": ("heaviness", "mass"),
        "worth": ("price", "value"),
        "lies_in": ("lies_at", "where"),
        "state": ("condition", "quality"),
        "age": ("years", "years_old"),
        "bring": ("fetch", "wanted_thing"),
        "reward": ("pay", "prize"),
        "days": ("days_left", "time_left"),
        "penalty": ("fine", "forfeit"),
        "notes": ("events", "log"),
        "links": ("relations", "ties"),
    }
)
"""What each field may be called instead; no name is that of two fields."""
_RENAMED_SHARE = 0.6


def renamed(random: Random, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state in which most fields of records have other names, the same ones in all of its records."""
    names = {field: random.choice(others) for field, others in OTHER_NAMES.items() if random.random() < _RENAMED_SHARE}
    return {
        room: [{names.get(field, field): value for field, value in record.items()} for record in records]
        if isinstance(records, list)
        else records
        for room, records in state.items()
    }
