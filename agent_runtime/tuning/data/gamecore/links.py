"""Links: fields of a record that name another, how a question calls what they lead to, and how it goes back.

Every record of a kind has the few core links. Of the others each land has some, drawn from many, so that what is
learned is to follow a link by its name, whichever it is. None is a word for what the held-out quests are asked for:
their hero, and where they lead. New links have labels of their own, which no land of train has.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Any, Literal

Record = dict[str, Any]
Kind = Literal["region", "unit", "item", "quest"]
Drawn = Literal["known", "new"]
"""Which links lands have some of beside the core: those that train has, or others."""

# Every record has the links of the core, so they lead to more.
_CORE_SHARE = 0.4


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """`called` is what a link leads to, from the record {}; `back` asks for the record, from what it leads to.

    `label` is the word in the record, and of a core link the field. There is one of each in a process: equal is same.
    """

    kind: Kind
    label: str
    to: Kind
    called: tuple[str, ...]
    back: tuple[str, ...] = ()


def record_called(kind: Kind, name: str) -> str:
    """Return a record as questions call it."""
    return f"quest {name}" if kind == "quest" else name


def _noun(kind: Kind, label: str, to: Kind) -> Link:
    called = f"the {label} of {{}}", f"{{}}'s {label}", f"the {label} that {{}} has"
    back = ("Who has {} as " if kind == "unit" else f"Which {kind} has {{}} as ") + f"{label}?"
    return Link(kind, label, to, called, (back, f"Whose {label} is {{}}?") if kind == "unit" else (back,))


CORE: tuple[Link, ...] = (
    _noun("unit", "ally", "unit"),
    Link("unit", "region", "region", ("the region where {} is",)),
    Link("unit", "carries", "item", ("the thing that {} carries",), ("Who carries {}?",)),
    Link("item", "lies_in", "region", ("the region where {} lies",), ("Which item lies in {}?",)),
    Link("quest", "bring", "item", ("the thing that {} asks for",), ("Which quest asks for {}?",)),
)

_ROLES = (
    "accuser adviser agent ambassador apprentice archer architect armourer artist aunt avenger baker banker bard "
    "baron beggar bishop blacksmith boatman bodyguard boss brewer bride broker brother builder butcher butler "
    "buyer captor caretaker carpenter carver challenger chaplain clerk client coach cobbler collector commander "
    "companion composer confessor contact cook courier cousin creditor critic dancer daughter dealer debtor "
    "defender deputy detective director disciple doctor double dreamer driver duke editor elder emissary employer "
    "enemy engineer engraver envoy examiner executor expert falconer farmer father ferryman fiddler finder fisher "
    "follower forger founder friend gardener giver governor grandson grocer groom guard guardian guest guide "
    "healer heir helper herald herbalist hermit host hostage hunter husband idol informer inspector inventor "
    "jailer jester jeweller judge keeper lady landlord lawyer lender librarian lieutenant lodger lord lover "
    "magician maker manager marshal mason master mayor mentor messenger midwife miller miner minister minstrel "
    "monk mother musician navigator neighbour nephew niece notary nurse observer officer opponent oracle orphan "
    "owner painter partner patient patron physician pilot piper poet poisoner porter potter preacher priest "
    "printer prisoner prophet protector pupil queen ranger referee rider rival robber sailor scholar scout "
    "scribe sculptor secretary seer seller servant sheriff shepherd singer sister smith soldier son sponsor spy "
    "squire steward student successor suitor surgeon surveyor suspect tailor tanner teacher tenant thief tinker "
    "trader trainer traitor translator treasurer trustee tutor twin uncle usher vassal victim visitor warden "
    "watcher weaver widow wife witness wizard writer"
).split()
_PLACES = (
    "abbey academy altar archive armoury attic bakery bank barn barracks base bazaar birthplace brewery bunker "
    "burrow cabin camp capital cellar cemetery chapel church cistern cottage court cradle depot den dock dungeon "
    "dwelling embassy estate exchange farm fief forge fortress foundry garden garrison granary grave guildhall "
    "harbour headquarters hideout home homeland hospital hostel inn jail kitchen laboratory lair landing library "
    "lighthouse lodge market meadow mill mine mint mooring museum nest nursery office orchard origin outpost "
    "palace parish park pasture pier port post prison quarry quarters ranch refuge residence retreat ruin "
    "sanctuary school seat settlement shelter shop shrine source stable station storehouse stronghold studio "
    "tavern temple theatre tomb tower treasury tribunal university vault village vineyard warehouse watchtower "
    "well wharf winery workshop yard"
).split()
_NEW_ROLES = (
    "abbess acrobat astronomer auctioneer beekeeper biographer bugler censor chauffeur chieftain "
    "conspirator constable counsellor crofter curator cyclist dentist diplomat duchess empress fencer forester "
    "gambler goldsmith harpist highwayman janitor locksmith matchmaker mermaid optician orator pedlar "
    "perfumer pharaoh pharmacist plumber postman publisher puppeteer rabbi regent rower saddler sleuth "
    "soothsayer sultan tattooist tracker umpire undertaker valet ventriloquist wrestler zookeeper"
).split()
_NEW_PLACES = (
    "airfield allotment amphitheatre aqueduct arcade arena asylum ballroom bathhouse belfry boathouse boulevard "
    "canteen casino catacomb citadel clinic cloister courtyard crossroads dormitory fishpond fountain gallery "
    "gatehouse greenhouse hangar hayloft icehouse larder lido manor mausoleum moat monastery nunnery oasis pavilion "
    "playground racetrack rookery sauna shipyard stockade terrace tollhouse trench viaduct villa waterfall windmill"
).split()
# What a record of each kind may have by a noun: anybody as a role, any region as a place.
_NOUNS: tuple[tuple[Kind, Kind], ...] = (
    ("unit", "unit"),
    ("unit", "region"),
    ("region", "unit"),
    ("item", "unit"),
    ("item", "region"),
    ("quest", "unit"),
    ("quest", "region"),
)
_Phrases = Mapping[tuple[Kind, Kind], tuple[tuple[str, str, str], ...]]
_PHRASES: _Phrases = {
    ("unit", "unit"): (
        ("fears", "the one that {} fears", "Who fears {}?"),
        ("hunts", "the one that {} hunts", "Who hunts {}?"),
        ("owes", "the one to whom {} owes money", "Who owes money to {}?"),
        ("rides with", "the one with whom {} rides", "Who rides with {}?"),
        ("saved by", "the one who saved {}", "Whom did {} save?"),
        ("sworn to", "the one to whom {} is sworn", "Who is sworn to {}?"),
        ("taught by", "the one who taught {}", "Whom did {} teach?"),
        ("trusts", "the one that {} trusts", "Who trusts {}?"),
    ),
    ("unit", "region"): (
        ("banned from", "the region from which {} is banned", "Who is banned from {}?"),
        ("born in", "the region where {} was born", "Who was born in {}?"),
        ("dreams of", "the region of which {} dreams", "Who dreams of {}?"),
        ("farms in", "the region where {} farms", "Who farms in {}?"),
    ),
    ("region", "unit"): (
        ("mapped by", "the one who mapped {}", "Which region did {} map?"),
        ("named after", "the one after whom {} is named", "Which region is named after {}?"),
        ("robbed by", "the one who robbed {}", "Which region did {} rob?"),
        ("sold to", "the one to whom {} was sold", "Which region was sold to {}?"),
    ),
    ("item", "unit"): (
        ("forged by", "the one who forged {}", "Which item did {} forge?"),
        ("promised to", "the one to whom {} is promised", "Which item is promised to {}?"),
        ("wanted by", "the one who wants {}", "Which item does {} want?"),
    ),
    ("item", "region"): (
        ("found in", "the region where {} was found", "Which item was found in {}?"),
        ("made in", "the region where {} was made", "Which item was made in {}?"),
        ("stolen from", "the region from which {} was stolen", "Which item was stolen from {}?"),
    ),
    ("quest", "unit"): (
        ("opposed by", "the one who opposes {}", "Which quest does {} oppose?"),
        ("paid by", "the one who pays for {}", "Which quest does {} pay for?"),
        ("secret from", "the one who knows nothing of {}", "Of which quest does {} know nothing?"),
    ),
    ("quest", "region"): (
        ("announced in", "the region where {} was announced", "Which quest was announced in {}?"),
        ("begins in", "the region where {} begins", "Which quest begins in {}?"),
        ("forbidden in", "the region where {} is forbidden", "Which quest is forbidden in {}?"),
    ),
}
_NEW_PHRASES: _Phrases = {
    ("unit", "unit"): (
        ("adores", "the one that {} adores", "Who adores {}?"),
        ("betrayed by", "the one who betrayed {}", "Whom did {} betray?"),
        ("writes to", "the one to whom {} writes", "Who writes to {}?"),
    ),
    ("unit", "region"): (
        ("hides in", "the region where {} hides", "Who hides in {}?"),
        ("sails for", "the region for which {} sails", "Who sails for {}?"),
    ),
    ("region", "unit"): (
        ("bought by", "the one who bought {}", "Which region did {} buy?"),
        ("shelled by", "the one who shelled {}", "Which region did {} shell?"),
    ),
    ("item", "unit"): (
        ("admired by", "the one who admires {}", "Which item does {} admire?"),
        ("pawned by", "the one who pawned {}", "Which item did {} pawn?"),
    ),
    ("item", "region"): (
        ("dug up in", "the region where {} was dug up", "Which item was dug up in {}?"),
        ("displayed in", "the region where {} is displayed", "Which item is displayed in {}?"),
    ),
    ("quest", "unit"): (
        ("dreaded by", "the one who dreads {}", "Which quest does {} dread?"),
        ("sung by", "the one who sings of {}", "Of which quest does {} sing?"),
    ),
    ("quest", "region"): (
        ("halts in", "the region where {} halts", "Which quest halts in {}?"),
        ("retold in", "the region where {} is retold", "Which quest is retold in {}?"),
    ),
}


def _drawn(roles: list[str], places: list[str], phrases: _Phrases) -> Iterator[Link]:
    for noun_of, names in _NOUNS:
        for label in roles if names == "unit" else places:
            yield _noun(noun_of, label, names)
    for (kind, to), rows in phrases.items():
        for label, called, back in rows:
            yield Link(kind, label, to, (called,), (back,))


DRAWN: Mapping[Drawn, tuple[Link, ...]] = MappingProxyType(
    {
        "known": tuple(_drawn(_ROLES, _PLACES, _PHRASES)),
        "new": tuple(_drawn(_NEW_ROLES, _NEW_PLACES, _NEW_PHRASES)),
    }
)
"""The links of which a land has some; no two of a kind of records have one label."""
BY_LABEL: Mapping[tuple[Kind, str], Link] = MappingProxyType(
    {(link.kind, link.label): link for link in (*CORE, *DRAWN["known"], *DRAWN["new"])}
)


def links_of(record: Record, kind: Kind) -> dict[str, str]:
    """Return the links of a record: labels, and the names that they lead to."""
    core = {link.label: record[link.label] for link in CORE if link.kind == kind and link.label in record}
    return {**core, **record.get("links", {})}


def draw_link(random: Random, links: Collection[Link]) -> Link:
    """Return one of some links; one of the core as often as `_CORE_SHARE` says, where there are others too."""
    core = [link for link in CORE if link in links]
    drawn = [link for link in links if link not in CORE]
    return random.choice(core if core and (not drawn or random.random() < _CORE_SHARE) else drawn)
