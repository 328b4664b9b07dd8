"""Links: fields of a record that name another, how a question calls what they lead to, and how it goes back.

Every record of a kind has the few core links. Of the others each land has some, drawn from many, so that what is
learned is to follow a link by its name, whichever it is. None is a word for what the held-out quests are asked for:
their hero, and where they lead.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Any, Literal

Record = dict[str, Any]
Kind = Literal["region", "unit", "item", "quest"]

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

_NOUNS: Mapping[tuple[Kind, Kind], str] = {
    ("unit", "unit"): "banker captor cook cousin debtor deputy double guard guide heir informer mentor messenger "
    "neighbour partner pupil rival scout servant sponsor spy squire tailor twin",
    ("unit", "region"): "birthplace estate garrison hideout home market post prison refuge school",
    ("region", "unit"): "builder collector envoy founder governor judge keeper landlord owner sheriff surveyor warden",
    ("item", "unit"): "buyer carver finder heir keeper lender maker owner seller thief",
    ("item", "region"): "market origin shrine source vault workshop",
    ("quest", "unit"): "giver guard guide informer judge patron rival scribe sponsor witness",
    ("quest", "region"): "archive camp office origin shelter treasury",
}
_PHRASES: Mapping[tuple[Kind, Kind], tuple[tuple[str, str, str], ...]] = {
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


def _drawn() -> Iterator[Link]:
    for (kind, to), nouns in _NOUNS.items():
        for label in nouns.split():
            yield _noun(kind, label, to)
    for (kind, to), rows in _PHRASES.items():
        for label, called, back in rows:
            yield Link(kind, label, to, (called,), (back,))


DRAWN: tuple[Link, ...] = tuple(_drawn())
"""The links of which a land has some; no two of a kind of records have one label."""
BY_LABEL: Mapping[tuple[Kind, str], Link] = MappingProxyType(
    {(link.kind, link.label): link for link in (*CORE, *DRAWN)}
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
