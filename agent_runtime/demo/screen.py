"""What the demo prints: at most 100 columns, turn by turn as they happen."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.rule import Rule
from rich.text import Text

from agent_runtime.demo.player import PlayedTurn, Reopened
from agent_runtime.replay.report import ReplayReport
from agent_runtime.replay.table import LEGEND, TABLE_WIDTH, report_table
from agent_runtime.server.server_messages import Flushed, SessionReady
from agent_runtime.turn import Account, Score
from game_adapters import TurnView

_SHOWN_ACTIONS = 5
_BAR_CELLS = 10


class Screen:
    """Prints the demo."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        if not self._console.is_terminal or self._console.width > TABLE_WIDTH:
            self._console.width = TABLE_WIDTH
        utf = self._console.encoding.lower().startswith("utf")
        self._bar, self._arrow = ("█", "→") if utf else ("#", "->")
        self._warned: set[str] = set()

    def introduce(self, title: str, sentences: Sequence[str]) -> None:
        """Say what will be seen."""
        self._console.print(Panel("\n".join(map(escape, sentences)), title=f"[bold]{escape(title)}", padding=(1, 2)))

    def chapter(self, title: str) -> None:
        """Begin something else."""
        self._console.print()
        self._console.print(Rule(f"[bold]{escape(title)}", align="left"))

    def say(self, text: str, style: str = "") -> None:
        """Print a sentence."""
        self._console.print(Text(text, style=style))

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Show that something takes its time."""
        if not self._console.is_terminal:
            self.say(f"{text} ...", "dim")
        with self._console.status(escape(text)):
            yield

    @contextmanager
    def counting(self, text: str) -> Iterator[Callable[[int, int], None]]:
        """Show a bar that goes away; the value takes how many are done, of how many."""
        if not self._console.is_terminal:
            self.say(f"{text} ...", "dim")
            yield lambda done, total: None
            return
        columns = (TextColumn(escape(text)), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            task = progress.add_task(text, total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)

    def ready(self, readies: Sequence[SessionReady]) -> None:
        """Say how sessions became warm."""
        for ready in readies:
            ways = {"encoded": ready.encoded, "loaded from disk": ready.loaded, "already there": ready.shared}
            told = ", ".join(f"{count:,} {way}" for way, count in ways.items() if count)
            self._console.print(
                Text(f"{ready.session}: {ready.tokens:,} tokens in blocks: {told} ({ready.ms:,.0f} ms)")
            )

    def turn(self, turn: PlayedTurn) -> None:
        """Print one turn: where the game stands, what may be done and how likely, what is done, what it cost."""
        assert turn.result.action is not None and turn.result.account is not None
        self._console.print()
        self._console.print(self._cut(Text.assemble((_who(turn), "bold cyan"), "  ", state_line(turn.view))))
        self._console.print(self._actions(turn.result.scores, turn.result.action.id))
        cost = cost_line(turn.result.account)
        line = Text.assemble((f"   {self._arrow} {turn.result.action.id}", "bold green"), (f"   {cost}", "dim"))
        self._console.print(self._cut(line))
        for event in _events(turn):
            self.say(f"   {event}", "yellow")
        for warning in turn.result.account.warnings:
            # Those of one kind differ in their figures only.
            kind = "".join(letter for letter in warning if letter.isalpha())
            if kind not in self._warned:
                self._warned.add(kind)
                self.say(f"   {warning}", "red")

    def _actions(self, scores: Sequence[Score], chosen: str) -> Text:
        """The likeliest actions with their shares as bars, and how many more there are, on one line."""
        line = Text("  ")
        ordered = sorted(scores, key=lambda score: -score.p)
        for place, score in enumerate(ordered):
            bar = self._bar * round(_BAR_CELLS * score.p)
            piece = Text.assemble(
                "  " if place else " ",
                (bar + " " if bar else "", "blue"),
                (score.id, "bold" if score.id == chosen else ""),
                f" {_share(score.p)}",
            )
            more = len(ordered) - place
            if place == _SHOWN_ACTIONS or line.cell_len + piece.cell_len + len("  and 99 more") > self._console.width:
                line.append(f"  and {more} more", style="dim")
                break
            line.append(piece)
        return self._cut(line)

    def _cut(self, line: Text) -> Text:
        line.truncate(self._console.width, overflow="ellipsis")
        return line

    def killed(self, process_id: int, flushed: Flushed, num_blocks: int, size_bytes: int) -> None:
        """Say what is left of a server that was killed."""
        self.say(
            f"All is on disk {flushed.ms:.0f} ms after it was asked for. Process {process_id} is killed (SIGKILL)."
        )
        self.say(f"It left {num_blocks} blocks, {size_bytes / 2**20:.1f} MiB.")

    def resumed(self, process_id: int, took_s: float, reopened: Reopened) -> None:
        """Say how the match was found again."""
        match, readies = reopened.match, reopened.sessions
        self.say(f"Process {process_id} serves the same store after {took_s:.1f} s.")
        self.say(f"Match {match.match!r} is back at frame {match.frame}: only its name was sent.")
        self.ready(readies)
        loaded, encoded = sum(ready.loaded for ready in readies), sum(ready.encoded for ready in readies)
        if encoded == 0:
            self.say(f"{loaded:,} tokens came from disk, none was encoded again. The match goes on.", "bold green")
        else:
            self.say(f"{loaded:,} tokens came from disk, and {encoded:,} had to be encoded again.", "bold red")

    def reports(self, reports: Sequence[ReplayReport]) -> None:
        """Print the replays' tables, and what their columns mean."""
        for report in reports:
            self._console.print()
            self._console.print(report_table(report, width=self._console.width))
        self._console.print()
        self.say(LEGEND, "dim")


def cost_line(account: Account) -> str:
    """Return what a turn cost: the time to the decision, and what of the prompt and the answers was computed."""
    total = account.tokens_computed + account.tokens_cached
    fresh = [use.name for use in account.changed if use.how == "encoded"]
    loaded = [use.name for use in account.changed if use.how == "loaded"]
    parts = [f"{account.ttft_ms:,.0f} ms, computed {account.tokens_computed:,} of {total:,} tokens"]
    for what, names in (("encoded", fresh), ("from disk", loaded)):
        if names:
            shown = ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
            parts.append(f"{what}: {shown}")
    return "; ".join(parts)


def state_line(view: TurnView) -> str:
    """Return where the game stands, in a few words."""
    return _STATE_LINES[view.game](view) if view.game in _STATE_LINES else view.observation_text


def _holdem_state(view: TurnView) -> str:
    state = view.state
    table, cards = state["table"], state["hands"][view.agent]
    board = state["board"] if table["round"] != "preflop" else "no board"
    price = f"{table['to_call']} to call" if table["to_call"] else "nothing to call"
    return f"hand {state['hand']['number']}, {table['round']}: {board}, pot {table['pot']}, holds {cards}, {price}"


def _camp_state(view: TurnView) -> str:
    state, me = view.state, view.state["npcs"][view.agent]
    place, clock = me["status"]["at"], state["clock"]
    beside = sorted(name for name, unit in state["units"].items() if unit["at"] == place)
    company = f" with {', '.join(beside)}" if beside else ""
    return f"tick {clock['tick']}, {place}{company}; orders: {me['orders']['task']} {me['orders']['target']}"


_STATE_LINES: Mapping[str, Callable[[TurnView], str]] = MappingProxyType(
    {"texas_holdem": _holdem_state, "camp": _camp_state}
)


def _who(turn: PlayedTurn) -> str:
    names = [turn.view.state["npcs"][turn.agent]["sheet"]["name"]] if turn.view.game == "camp" else []
    told = ", ".join([*names, *([turn.persona] if turn.persona else [])])
    return f"{turn.agent} ({told})" if told else turn.agent


def _events(turn: PlayedTurn) -> list[str]:
    """What the turn led to: a hand that ended, or a reward in a game without hands."""
    past = turn.after.get("past", {}) if turn.view.game == "texas_holdem" else {}
    if past:
        before = turn.view.state.get("past", {})
        return [
            f"{name.replace('_0', ' ').replace('_', ' ')}: {each['result']}; {each['how']}"
            for name, each in past.items()
            if name not in before
        ]
    return [f"reward {turn.reward:+g}"] if turn.reward and turn.view.game != "texas_holdem" else []


def _share(p: float) -> str:
    return f"{100 * p:.0f} %" if p >= 0.01 else "<1 %"
