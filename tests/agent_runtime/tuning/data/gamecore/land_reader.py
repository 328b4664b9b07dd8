"""A reader of gamecore's blocks: from nothing but their texts and a question to every target that would be right."""

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from agent_runtime.tuning.data.gamecore.links import BY_LABEL, DRAWN
from agent_runtime.tuning.data.gamecore.renaming import OTHER_NAMES

Record = dict[str, Any]
# How each field stands in a block's first line; what has no word before it goes by its place.
_BARE = {"regions": {0: "terrain"}, "units": {2: "weapon"}, "items": {}, "quests": {}}
_WORDS = {
    "ruled by": "ruler",
    "roads to": "roads",
    "in": "region",
    "lies in": "lies_in",
    "days left": "days",
    **{word: word for word in "danger weather people hp ally carries rank mood armour gold".split()},
    **{word: word for word in "weight worth state age hero reward penalty".split()},
    **{link.label: link.label for links in DRAWN.values() for link in links},
}
_FIELDS = {other: field for field, others in OTHER_NAMES.items() for other in others}
# What the records that a question has no name for are called, and by which field one comes to them.
_LED = [(link.called[0], label) for (_, label), link in BY_LABEL.items()]


class Reader:
    """The records that some blocks tell of."""

    def __init__(self, blocks: tuple[tuple[str, str], ...]) -> None:
        self.records: dict[str, list[Record]] = {"regions": [], "units": [], "items": [], "quests": []}
        for name, text in blocks:
            path, body = text.rstrip("\n").split("\n", 1)
            _, room, own = path.split("/")
            assert name == f"{room.removesuffix('s') if room != 'rules' else room}/{own}"
            if room == "rules":
                self._read_rules(own, body)
            else:
                self.records[room].append({"id": own, **_way_of(body)(room, body)})

    def _read_rules(self, name: str, body: str) -> None:
        if body[0] == "{":
            self._take_rules(name, json.loads(body))
            return
        if _way_of(body) is _of_lines:
            numbers = {word: int(number) for word, number in re.findall(r"^(?:power )?(\w+): (\d+)$", body, re.M)}
            told = dict(re.findall(r"^(winner|attack): (.*)$", body, re.M))
            self._take_rules(name, {**told, "power": numbers} if told else numbers)
            return
        table = {word: int(number) for word, number in re.findall(r"(\w+) (\d+)[,.]", body)}
        if name == "land":
            self.days = table
            return
        self.power = table
        [(much, by)] = re.findall(r"the one with (more|less|fewer) (power|hp) wins", body)
        self.winner = (by, much)
        [self.attacks_most] = [much == "most" for much in re.findall(r"enemy with the (most|fewest) hp", body)]

    def _take_rules(self, name: str, table: Record) -> None:
        if name == "land":
            self.days = table
        else:
            self.power, (much, by) = table["power"], table["winner"].split()
            self.winner, self.attacks_most = (by, much), table["attack"] == "the most hp"

    def one(self, room: str, name: str) -> Record:
        [record] = [each for each in self.records[room] if each["id"] == name]
        return record

    def targets(self, question: str, actions: tuple[str, ...]) -> list[str]:
        """Every right target."""
        if went_back := self.back(question):
            return went_back
        for pattern, solve in _SOLVERS:
            found = re.fullmatch(pattern, question)
            if found:
                return solve(self, *found.groups())
        raise AssertionError(f"nothing is known about {question!r} {actions}")

    def fact(self, name: str, field: str) -> list[str]:
        records = [each for room in self.records.values() for each in room if each["id"] == name and field in each]
        return [str(each[field]) for each in records]

    def who(self, room: str, field: str, value: str) -> list[str]:
        return [each["id"] for each in self.records[room] if each.get(field) == value]

    def called(self, words: str) -> list[str]:
        """The names of all that something is called by: its own, or what leads to it."""
        name = words.removeprefix("quest ")
        if " " not in name:
            return [name]
        return sorted(
            {other for field, inner in _ways(words) for own in self.called(inner) for other in self.fact(own, field)}
        )

    def asked(self, words: str, field: str) -> list[str]:
        """A fact of what something is called by, behind its name if that was to be found."""
        names = self.called(words)
        found = [(name, value) for name in names for value in self.fact(name, field)]
        is_named = names == [words.removeprefix("quest ")]
        return [value if is_named else f"{name}; {value}" for name, value in found]

    def led(self, words: str) -> list[str]:
        return [target for field, inner in _ways(words) for target in self.asked(inner, field)]

    def back(self, question: str) -> list[str]:
        """All records from which a link leads to what is named."""
        found = []
        for (kind, label), link in BY_LABEL.items():
            for wording in link.back:
                if said := _matched(wording, question):
                    found += self.who(f"{kind}s", label, said)
        return found

    def stock(self, what: str, name: str, field: str) -> list[str]:
        return [str(each[field][what]) for room in self.records.values() for each in room if each["id"] == name]

    def note(self, name: str, day: str) -> list[str]:
        return [
            note[1] for room in self.records.values() for each in room if each["id"] == name
            for note in each["notes"] if note[0] == day
        ]  # fmt: skip

    def weapon_power(self, name: str) -> list[str]:
        weapon = self.one("units", name)["weapon"]
        return [f"{weapon}; {self.power[weapon]}"]

    def crossing(self, name: str) -> list[str]:
        terrain = self.one("regions", name)["terrain"]
        return [f"{terrain}; {self.days[terrain]}"]

    def fight(self, *names: str) -> list[str]:
        units = [self.one("units", name) for name in names]
        by, much = self.winner
        values = [self.power[unit["weapon"]] if by == "power" else int(unit["hp"]) for unit in units]
        best = max(values) if much == "more" else min(values)
        arms = [f" {unit['weapon']}" if by == "power" else "" for unit in units]
        steps = [f"{name}{arm} {value}" for name, arm, value in zip(names, arms, values, strict=True)]
        told = f"{much} {by}; {', '.join(steps)}"
        return [f"{told}; {name}" for name, value in zip(names, values, strict=True) if value == best]

    def count(self, team: str, region: str) -> list[str]:
        found = [each["id"] for each in self.records["units"] if (each["team"], each["region"]) == (team, region)]
        return [f"{', '.join(sorted(found)) or 'none'}; {len(found)}"]

    def decide(self, name: str) -> list[str]:
        unit = self.one("units", name)
        here = [each for each in self.records["units"] if each["region"] == unit["region"]]
        enemies = [each for each in here if each["team"] != unit["team"]]
        if enemies:
            wanted = (max if self.attacks_most else min)([int(each["hp"]) for each in enemies])
            return [f"attack {each['id']}" for each in enemies if int(each["hp"]) == wanted]
        goals = [each["to"] for each in self.records["quests"] if each["hero"] == name and each["to"] != unit["region"]]
        return [f"go to {goal}" for goal in goals] or ["hold"]


def _done(action: str, field: str) -> Callable[[Reader, str], list[str]]:
    return lambda reader, name: [f"{action} {value}" for value in reader.fact(name, field)]


def _joined(action: str, steps: Callable[[Reader, str], list[str]]) -> Callable[[Reader, str], list[str]]:
    return lambda reader, words: [action.format(*target.split("; ")) for target in steps(reader, words)]


def _read(room: str, body: str) -> Record:
    first, *notes = body.split("\n")
    record: Record = {}
    stock: dict[str, str] | None = None
    for place, part in enumerate(first.split(", ")):
        if opened := re.fullmatch(r"(pack|stores) (.*)", part):
            stock = record[opened[1]] = {}
            part = opened[2]
        if stock is not None and (counted := re.fullmatch(r"(\d+) (\w+)", part)):
            stock[counted[2]] = counted[1]
        elif place in _BARE[room]:
            record[_BARE[room][place]] = part
        elif of_team := re.fullmatch(r"(\w+) team", part):
            record["team"] = of_team[1]
        elif bring := re.fullmatch(r"bring (\S+?)(?: to (\w+))?", part):
            record |= {field: said for field, said in zip(("bring", "to"), bring.groups(), strict=True) if said}
        else:
            word, _, value = part.rpartition(" ") if not part.startswith("roads") else ("roads to", "", part[9:])
            assert _WORDS[word] not in record
            record[_WORDS[word]] = value
    record["notes"] = [re.fullmatch(r"Day (\d+): (.*)\.", note).groups() for note in notes]  # type: ignore[union-attr]
    return record


def _way_of(body: str) -> Callable[[str, str], Record]:
    is_lines = re.match(r"[\w ]+: ", body) and not body.startswith(("Weapon power", "Days to cross"))
    return _of_json if body[0] == "{" else _of_lines if is_lines else _read


def _of_lines(room: str, body: str) -> Record:
    """What the templates would have told, from a line a field."""
    record: Record = {"notes": []}
    for name, value in (line.split(": ", 1) for line in body.split("\n")):
        if day := re.fullmatch(r"day (\d+)", name):
            record["notes"].append((day[1], value))
        elif stock := re.fullmatch(r"(pack|stores) (\w+)", name):
            record.setdefault(stock[1], {})[stock[2]] = value
        else:
            assert name not in record
            record[name] = value
    return record


def _of_json(room: str, body: str) -> Record:
    """What the templates would have told."""
    found = {_FIELDS.get(name, name): value for name, value in json.loads(body).items()}
    notes = [(str(note["day"]), note["event"]) for note in found.pop("notes", ())]
    links = found.pop("links", {})
    assert not links.keys() & found.keys()
    record = {
        name: {what: str(count) for what, count in value.items()} if isinstance(value, dict) else str(value)
        for name, value in {**found, **links}.items()
    }
    return {**record, "notes": notes}


@cache
def _ways(words: str) -> tuple[tuple[str, str], ...]:
    """Every link that a record may be called by, and what it leads from."""
    found = {
        *[(field, said) for called, field in _LED if (said := _matched(called, words))],
        *[(said[2], said[1]) for said in [re.fullmatch(r"(.*)'s (\w+)", words)] if said],
        *[(said[1], said[2]) for said in [re.fullmatch(r"the (\w+) that (.*) has", words)] if said],
    }
    return tuple(sorted(found))


def _matched(wording: str, words: str) -> str | None:
    head, _, tail = wording.partition("{}")
    if len(words) > len(head) + len(tail) and words.startswith(head) and words.endswith(tail):
        return words[len(head) : len(words) - len(tail)]
    return None


def _fact(field: str) -> Callable[[Reader, str], list[str]]:
    return lambda reader, words: reader.asked(words, field)


def _there(field: str) -> Callable[[Reader, str], list[str]]:
    return lambda reader, words: reader.asked(f"the region where {words}", field)


def _held_out(link: str, field: str) -> Callable[[Reader, str], list[str]]:
    return lambda reader, name: [
        f"{other}; {value}" for other in reader.fact(name, link) for value in reader.fact(other, field)
    ]


_SOLVERS: list[tuple[str, Callable[..., list[str]]]] = [
    (r"You lead (\w+)\. What does it do\?", Reader.decide),
    (r"You are to go where (\w+) is\. What do you do\?", _done("go to", "region")),
    (r"You are to attack the ally of (\w+)\. What do you do\?", _done("attack", "ally")),
    (r"You are to take what (\w+) carries\. What do you do\?", _done("take", "carries")),
    (r"You are to go where (\S+) lies\. What do you do\?", _done("go to", "lies_in")),
    (r"You are to bring what quest (\w+) asks for\. What do you do\?", _done("bring", "bring")),
    (
        r"You are to buy a weapon like that of (\w+) for its power\. What do you do\?",
        _joined("buy {} for {}", Reader.weapon_power),
    ),
    (r"You are to cross (\w+)\. What do you do\?", _joined("cross {} in {} days", Reader.crossing)),
    (
        r"You are to find (.+)\. What do you do\?",
        _joined("find {} in {}", lambda reader, words: reader.asked(words, "region")),
    ),
    (
        r"You are to disarm (.+)\. What do you do\?",
        _joined("rob {} of the {}", lambda reader, words: reader.asked(words, "weapon")),
    ),
    (
        r"You are to sell (.+)\. What do you do\?",
        _joined("sell {} for {}", lambda reader, words: reader.asked(words, "worth")),
    ),
    (
        r"You are to travel to (.+)\. What do you do\?",
        _joined("travel to {} through {}", lambda reader, words: reader.asked(words, "terrain")),
    ),
    (r"Who wins if (\w+) and (\w+) fight\?", Reader.fight),
    (r"How many units of the (\w+) team are in (\w+)\?", Reader.count),
    (r"What is the weapon power of (\w+)\?", Reader.weapon_power),
    (r"How many days does it take to cross (\w+)\?", Reader.crossing),
    (r"Which weapon has the hero of quest (\w+)\?", _held_out("hero", "weapon")),
    (r"How many hp has the hero of quest (\w+)\?", _held_out("hero", "hp")),
    (r"What is the terrain where quest (\w+) leads\?", _held_out("to", "terrain")),
    (r"How great is the danger where quest (\w+) leads\?", _held_out("to", "danger")),
    (r"What is noted of (\S+) for day (\d+)\?", Reader.note),
    (r"How many (\w+) has (\w+) in the pack\?", lambda reader, what, name: reader.stock(what, name, "pack")),
    (r"How much (\w+) is in the stores of (\w+)\?", lambda reader, what, name: reader.stock(what, name, "stores")),
    (r"What is the terrain where (.+)\?", _there("terrain")),
    (r"How great is the danger where (.+)\?", _there("danger")),
    (r"What is the weather where (.+)\?", _there("weather")),
    (r"How many people live where (.+)\?", _there("people")),
    (r"What is the terrain of (.+)\?", _fact("terrain")),
    (r"How great is the danger in (.+)\?", _fact("danger")),
    (r"Who rules (.+)\?", _fact("ruler")),
    (r"What is the weather in (.+)\?", _fact("weather")),
    (r"How many people live in (.+)\?", _fact("people")),
    (r"Which team is (.+) of\?", _fact("team")),
    (r"How many hp has (.+)\?", _fact("hp")),
    (r"Which (weapon|rank) has (.+)\?", lambda reader, field, words: reader.asked(words, field)),
    (r"In which (region|mood|state) is (.+)\?", lambda reader, field, words: reader.asked(words, field)),
    (r"What does (.+) carry\?", _fact("carries")),
    (r"How good is the armour of (.+)\?", _fact("armour")),
    (r"How much gold has (.+)\?", _fact("gold")),
    (r"What is (.+) worth\?", _fact("worth")),
    (r"What is the weight of (.+)\?", _fact("weight")),
    (r"Where does (.+) lie\?", _fact("lies_in")),
    (r"How old is (.+)\?", _fact("age")),
    (r"How many days are left for (.+)\?", _fact("days")),
    (r"What is the (reward|penalty) of (.+)\?", lambda reader, field, words: reader.asked(words, field)),
    (r"(?:Who|Which) is (.+)\?", Reader.led),
]
