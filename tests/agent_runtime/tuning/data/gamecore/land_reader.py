"""A reader of gamecore's blocks: from nothing but their texts and a question to every target that would be right."""

import re
from collections.abc import Callable
from typing import Any

Record = dict[str, Any]
# How each field stands in a block's first line; what has no word before it goes by its place.
_BARE = {"regions": {0: "terrain"}, "units": {2: "weapon"}, "items": {}, "quests": {}}
_WORDS = {
    "ruled by": "ruler",
    "roads to": "roads",
    "in": "region",
    "lies in": "lies_in",
    "made in": "made_in",
    "days left": "days",
    **{word: word for word in "danger weather people keeper hp ally carries rank mood armour gold home rival".split()},
    **{word: word for word in "weight worth state age maker hero reward giver penalty witness".split()},
}


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
                self.records[room].append({"id": own, **_read(room, body)})

    def _read_rules(self, name: str, body: str) -> None:
        table = {word: int(number) for word, number in re.findall(r"(\w+) (\d+)[,.]", body)}
        if name == "land":
            self.days = table
            return
        self.power = table
        [(much, by)] = re.findall(r"the one with (more|less|fewer) (power|hp) wins", body)
        self.winner = (by, much)
        [self.attacks_most] = [much == "most" for much in re.findall(r"enemy with the (most|fewest) hp", body)]

    def one(self, room: str, name: str) -> Record:
        [record] = [each for each in self.records[room] if each["id"] == name]
        return record

    def targets(self, question: str, actions: tuple[str, ...]) -> list[str]:
        """Every right target."""
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

    def through(self, name: str, link: str, field: str) -> list[str]:
        return [f"{other}; {value}" for other in self.fact(name, link) for value in self.fact(other, field)]

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
        elif bring := re.fullmatch(r"bring (\S+) to (\w+)", part):
            record["bring"], record["to"] = bring.groups()
        else:
            word, _, value = part.rpartition(" ") if not part.startswith("roads") else ("roads to", "", part[9:])
            assert _WORDS[word] not in record
            record[_WORDS[word]] = value
    record["notes"] = [re.fullmatch(r"Day (\d+): (.*)\.", note).groups() for note in notes]  # type: ignore[union-attr]
    return record


def _fact(field: str) -> Callable[[Reader, str], list[str]]:
    return lambda reader, name: reader.fact(name, field)


def _who(room: str, field: str) -> Callable[[Reader, str], list[str]]:
    return lambda reader, value: reader.who(room, field, value)


def _through(link: str, field: str) -> Callable[[Reader, str], list[str]]:
    return lambda reader, name: reader.through(name, link, field)


_SOLVERS: list[tuple[str, Callable[..., list[str]]]] = [
    (r"You lead (\w+)\. What does it do\?", Reader.decide),
    (r"You are to go where (\w+) is\. What do you do\?", _done("go to", "region")),
    (r"You are to attack the ally of (\w+)\. What do you do\?", _done("attack", "ally")),
    (r"You are to take what (\w+) carries\. What do you do\?", _done("take", "carries")),
    (r"You are to go where (\S+) lies\. What do you do\?", _done("go to", "lies_in")),
    (r"You are to bring what quest (\w+) asks for\. What do you do\?", _done("bring", "bring")),
    (r"Who wins if (\w+) and (\w+) fight\?", Reader.fight),
    (r"How many units of the (\w+) team are in (\w+)\?", Reader.count),
    (r"What is the weapon power of (\w+)\?", Reader.weapon_power),
    (r"How many days does it take to cross (\w+)\?", Reader.crossing),
    (r"Which weapon has the hero of quest (\w+)\?", _through("hero", "weapon")),
    (r"How many hp has the hero of quest (\w+)\?", _through("hero", "hp")),
    (r"What is the terrain where quest (\w+) leads\?", _through("to", "terrain")),
    (r"How great is the danger where quest (\w+) leads\?", _through("to", "danger")),
    (r"What is noted of (\S+) for day (\d+)\?", Reader.note),
    (r"How many (\w+) has (\w+) in the pack\?", lambda reader, what, name: reader.stock(what, name, "pack")),
    (r"How much (\w+) is in the stores of (\w+)\?", lambda reader, what, name: reader.stock(what, name, "stores")),
    (r"Who carries (\S+)\?", _who("units", "carries")),
    (r"Whose ally is (\w+)\?", _who("units", "ally")),
    (r"Which quest asks for (\S+)\?", _who("quests", "bring")),
    (r"Which item lies in (\w+)\?", _who("items", "lies_in")),
    (r"How many hp has the ally of (\w+)\?", _through("ally", "hp")),
    (r"Which weapon has the ally of (\w+)\?", _through("ally", "weapon")),
    (r"Which team is the ally of (\w+) of\?", _through("ally", "team")),
    (r"What does the ally of (\w+) carry\?", _through("ally", "carries")),
    (r"What is the weight of what (\w+) carries\?", _through("carries", "weight")),
    (r"What is the worth of what quest (\w+) asks for\?", _through("bring", "worth")),
    (r"What is the weight of what quest (\w+) asks for\?", _through("bring", "weight")),
    (r"How great is the danger where (\S+) lies\?", _through("lies_in", "danger")),
    (r"In which region is the giver of quest (\w+)\?", _through("giver", "region")),
    (r"Which weapon has the witness of quest (\w+)\?", _through("witness", "weapon")),
    (r"How many hp has the maker of (\S+)\?", _through("maker", "hp")),
    (r"What is the terrain where (\S+) was made\?", _through("made_in", "terrain")),
    (r"In which region is the ally of (\w+)\?", _through("ally", "region")),
    (r"What is the terrain where (\w+) is\?", _through("region", "terrain")),
    (r"How great is the danger where (\w+) is\?", _through("region", "danger")),
    (r"What is the worth of what (\w+) carries\?", _through("carries", "worth")),
    (r"What is the terrain where (\S+) lies\?", _through("lies_in", "terrain")),
    (r"How many hp has the rival of (\w+)\?", _through("rival", "hp")),
    (r"What is the terrain at the home of (\w+)\?", _through("home", "terrain")),
    (r"Which weapon has the keeper of (\w+)\?", _through("keeper", "weapon")),
    (r"What is the terrain of (\w+)\?", _fact("terrain")),
    (r"How great is the danger in (\w+)\?", _fact("danger")),
    (r"Who rules (\w+)\?", _fact("ruler")),
    (r"What is the weather in (\w+)\?", _fact("weather")),
    (r"How many people live in (\w+)\?", _fact("people")),
    (r"Which team is (\w+) of\?", _fact("team")),
    (r"How many hp has (\w+)\?", _fact("hp")),
    (r"Which (weapon|rank) has (\w+)\?", lambda reader, field, name: reader.fact(name, field)),
    (r"In which (region|mood|state) is (\S+)\?", lambda reader, field, name: reader.fact(name, field)),
    (r"What does (\w+) carry\?", _fact("carries")),
    (r"How good is the armour of (\w+)\?", _fact("armour")),
    (r"How much gold has (\w+)\?", _fact("gold")),
    (r"Where is the home of (\w+)\?", _fact("home")),
    (r"What is (\S+) worth\?", _fact("worth")),
    (r"Where does (\S+) lie\?", _fact("lies_in")),
    (r"How old is (\S+)\?", _fact("age")),
    (r"Where was (\S+) made\?", _fact("made_in")),
    (r"How many days are left for quest (\w+)\?", _fact("days")),
    (
        r"(?:Who|What) is the (\w+) of (?:quest )?(\S+)\?",
        lambda reader, field, name: reader.fact(name, field),
    ),
]
