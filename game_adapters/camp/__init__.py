"""Camp: a small seeded world of our own, as a PettingZoo environment and in words.

A camp has a map, things that lie about, units that roam, and NPCs who act one after the other, once each a tick. The
rules (which weapon beats which kind of unit, what to do when the alarm rings, what a day eats) differ with the seed and
are part of the state. Each step changes one or two blocks, however many there are.

    names        the vocabulary               world        what there is, and how a seed makes it
    rules        what deeds and events do     environment  the AEC environment
    camp         the game's contract          expert       a policy that reads the state
"""

from game_adapters.camp.camp import Camp
from game_adapters.camp.environment import CampEnv
from game_adapters.camp.world import WorldSize

__all__ = ["Camp", "CampEnv", "WorldSize"]
