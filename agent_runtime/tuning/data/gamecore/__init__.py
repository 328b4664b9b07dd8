"""Gamecore: synthetic game states as JSON, cut by the game's folder `folders/gamecore`, with questions and decisions.

A state has rules that differ from sample to sample, regions, units, items and quests: 8 to 400 blocks, of about 30 to
120 tokens each. What makes blocks longer is further facts about the land, and most are asked about (`details.py`);
which links lead from record to record differs from land to land (`links.py`).

    kind             what it needs                         target
    unit_fact        one block, by name                    31
    reverse          one block, by what it holds           Kazimor
    rules_and_unit   a table of the rules, and one block   bow; 57
    linked           two blocks, one naming the other      Kazimor; 31
    comparison       two blocks and the rules              more power; Kazimor bow 57, Banor axe 31; Kazimor
    counting         all units of a region                 Banor, Kazimor; 2
    decision         the rules, a unit, and who is there   attack Banor
    errand           one block, and listed actions         take bow
    rules_errand     the rules, a block, listed actions    buy bow for 57
    linked_errand    two linked blocks, listed actions     find Banor in Fen
    quest            two blocks, linked as in no other     Kazimor; bow         (held out: never in `train`)
    new_link         the same, of lands with new links     Kazimor; 31          (held out: never in `train`)

The links of `quest` stand in lands of `train`, where nobody asks for them; those of `new_link` stand in none.
"""

from agent_runtime.tuning.data.gamecore.recipe import HELD_OUT, KINDS, NEW_LINK, GameCore

__all__ = ["HELD_OUT", "KINDS", "NEW_LINK", "GameCore"]
