"""What a turn sees of the pool: the blocks of its prompt in their order, each moved to its place."""

from collections import OrderedDict
from collections.abc import Callable, Sequence

from agent_runtime.engine.positions import Positions
from agent_runtime.engine.span import NOTHING, Placed, Span, View, exchanged, view_of_blocks
from agent_runtime.residents import Resident, Standing
from agent_runtime.turn import Mode

_MAX_VIEWS = 256


class Views:
    """Views by the blocks in them: a prompt that comes again finds its own. The least recently used goes first."""

    def __init__(self, positions: Positions) -> None:
        self._positions = positions
        self._made: OrderedDict[tuple[int, ...], View] = OrderedDict()

    def of(
        self, mode: Mode, residents: Sequence[Resident], last: Standing | None, places: Sequence[int] | None
    ) -> tuple[tuple[int, ...], View]:
        """Return the view of all blocks in their order, and the name it goes by.

        Each block is moved from its local start to its place here. As they stood `last`, all but those at `places` were
        the same (None: more has changed).
        """
        if last is None or places is None:
            name = (mode is Mode.ANCHORED, *[resident.serial for resident in residents])
            return name, self._once(name, lambda: self._made_of(mode, residents))
        changed = list(last.name)
        for place in places:
            changed[1 + place] = residents[place].serial
        name = tuple(changed)
        runs = {place: residents[place].run for place in places}
        return name, self._once(
            name, lambda: exchanged(last.view, runs, self._positions) or self._made_of(mode, residents)
        )

    def _made_of(self, mode: Mode, residents: Sequence[Resident]) -> View:
        runs = [resident.run for resident in residents]
        return view_of_blocks(runs, anchored=mode is Mode.ANCHORED, positions=self._positions)

    def spans_of(self, mode: Mode, anchor: Resident, fresh: Sequence[Resident]) -> list[Span]:
        """Return the spans that encode blocks: in `anchored` all but the anchor see the anchor."""
        behind = NOTHING
        if mode is Mode.ANCHORED:
            behind = self._once((anchor.serial,), lambda: View((Placed(anchor.run, 0),)))
        return [
            Span(resident.block.ids, 0, NOTHING, keep=resident.run)
            if resident is anchor
            else Span(resident.block.ids, behind.length, behind, keep=resident.run)
            for resident in fresh
        ]

    def _once(self, name: tuple[int, ...], make: Callable[[], View]) -> View:
        view = self._made.get(name)
        if view is None:
            view = self._made[name] = make()
            if len(self._made) > _MAX_VIEWS:
                self._made.popitem(last=False)
        else:
            self._made.move_to_end(name)
        return view
