"""`replay_against`: a recording played against a running server, and what that measured as a report."""

import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent_runtime.replay.load.options import AS_RECORDED, LoadOptions, Server
from agent_runtime.replay.load.play import Played, PlayedMode, Progress, play
from agent_runtime.replay.load.script import Script, written_script
from agent_runtime.replay.origin import differences
from agent_runtime.replay.recording_format import Recording, read_recording
from agent_runtime.replay.report import ModeReport, ReplayReport, constant_action, report_mode, rival_labels
from agent_runtime.replay.samples import Samples
from agent_runtime.replay.traffic import ServerShares, Traffic
from agent_runtime.turn import Mode

# What a report's `ended` says after Ctrl-C.
INTERRUPTED = "It was interrupted."


def replay_against(
    recording: Path,
    server: Server,
    options: LoadOptions = AS_RECORDED,
    progress: Progress = lambda done, turns: None,
    *,
    verify: bool = True,
) -> ReplayReport:
    """Play a recording against a server; `progress` hears how many turns are answered, of how many.

    What ends a run early, a server that dies or Ctrl-C, is in the report's `ended`. Raises what reading a recording
    raises, OtherProtocol, NothingToReplay, and LoadError for a run that could not begin.
    """
    read = read_recording(recording, verify=verify)
    with written_script(read) as script:
        return _report(read, script, server, options, play(script, server, options, progress))


def _report(read: Recording, script: Script, server: Server, options: LoadOptions, played: Played) -> ReplayReport:
    modes = [mode for mode in played.modes if mode.opened is not None]
    resolved = [Mode(mode.opened.mode) for mode in modes if mode.opened is not None]
    # Turns of modes that were played one after the other are not pairs: the machine was another one by then.
    rivals = rival_labels(resolved) if options.is_side_by_side else ()
    samples = {mode.label: mode.tally.samples for mode in modes}
    opened = next((mode.opened for mode in modes if mode.opened is not None), None)
    welcome = played.welcome
    return ReplayReport(
        recording=read.path,
        game=script.header.game,
        recorded_mode=script.header.mode,
        model=opened.model if opened else "",
        block_tuned=opened.block_tuned if opened else False,
        modes=tuple(_mode(mode, options, {label: samples[label] for label in rivals}) for mode in modes),
        refused=sum(mode.tally.refused for mode in modes),
        warnings=(*differences(read, {}, resolved), *_warnings(script, server, options, played)),
        environment={**_machine(), "server": welcome.server if welcome else None},
        recording_digest=read.digest,
        constant_action=constant_action(script.actions),
        settings={
            "url": server.url,
            "pace": "closed" if options.pace is None else options.pace,
            "copies": options.copies,
            "connections": options.num_connections,
            "shared_blocks": not options.has_own_salts,
            "deadline_ms": options.deadline_ms,
            "seed": options.seed,
        },
        strips=played.strips,
        ended=_ended(played),
    )


def _mode(mode: PlayedMode, options: LoadOptions, rivals: dict[str, Samples]) -> ModeReport:
    assert mode.opened is not None
    tally = mode.tally
    return report_mode(
        mode.label,
        mode.opened.mode,
        tally.samples,
        {label: samples for label, samples in rivals.items() if label != mode.label},
        background_rows=None,
        background_forwards=None,
        traffic=Traffic(
            copies=options.copies,
            copies_refused=len(mode.shut_out),
            asked=tally.asked,
            unanswered=tally.unanswered,
            refused=tally.refused,
            under_way_max=tally.under_way_max,
            turns_per_s=tally.turns_per_s,
            queue_max_ms=tally.sums.queue_ms_max if tally.sums.turns else None,
            shares_ms=_shares(mode),
        ),
    )


def _shares(mode: PlayedMode) -> ServerShares | None:
    sums = mode.tally.sums
    if not sums.turns:
        return None
    client, decision = sums.client_ms / sums.turns, sums.ttft_ms / sums.turns
    return ServerShares(
        turns=sums.turns,
        client=client,
        decision=decision,
        queue=sums.queue_ms / sums.turns,
        engine=sums.engine_ms / sums.turns,
        overhead=sums.overhead_ms / sums.turns,
        wire=client - decision,
    )


def _ended(played: Played) -> str | None:
    if played.interrupted:
        return INTERRUPTED
    return None if played.ended is None else str(played.ended)


def _warnings(script: Script, server: Server, options: LoadOptions, played: Played) -> Iterator[str]:
    """Yield what to know about the figures of a run."""
    tallies = [mode.tally for mode in played.modes]
    shut_out = [sentence for mode in played.modes for sentence in mode.shut_out]
    if shut_out:
        yield f"Copies of the match that the server did not open: {len(shut_out)}; the first: {shut_out[0]}"
    refusals = [tally.first_refusal for tally in tallies if tally.first_refusal is not None]
    if refusals:
        yield f"Messages that the server refused: {sum(tally.refused for tally in tallies)}; the first: {refusals[0]}"
    if unanswered := sum(tally.unanswered for tally in tallies):
        yield f"Turns that were asked and never answered: {unanswered}. They are in no figure but that."
    if not_applied := sum(tally.not_applied for tally in tallies):
        yield (
            f"Turns without a decision, so that what was done then could not be applied now: {not_applied}. They are "
            "missing in the histories of the turns behind them."
        )
    if other_length := sum(tally.num_other_length for tally in tallies):
        yield (
            f"Turns whose prompt had another length when it was recorded: {other_length}. The server has another "
            "tokenizer, the game's templates have changed, or history was not there in time."
        )
    if script.named_personas:
        yield (
            f"Sessions that bring their persona as text: {script.named_personas}. It begins with the session's name, "
            "which is another one in every replay: so those prompts differ a little from the recorded ones."
        )
    if played.num_differing:
        yield (
            f"Turns that read differently in one mode than in another: {played.num_differing}. Their times cannot be "
            "compared. A game folder that the server reads again while a replay runs does that."
        )
    modes = [mode.opened.mode for mode in played.modes if mode.opened is not None]
    if len(set(modes)) < len(modes):
        yield (
            "A mode that is named twice shares its blocks on one server: what the first encodes the second finds. The "
            "noise of a machine shows in process, without --url."
        )
    if options.has_own_salts:
        yield (
            "Every copy had a cache_salt of its own, so that none found what another had encoded, not even the rules: "
            "as many real matches of one game share those, and compute less than these did."
        )
    elif options.copies > 1:
        yield (
            "Copies of one match share its blocks: what one encodes the others find. As many different matches compute "
            "more than these did."
        )
    if played.left_open and not server.is_own:
        yield (
            f"Matches that could not be closed: {played.left_open}. Those that the server still has are named "
            f"{played.prefix!r} and something behind it; to be rid of one, open it and close it."
        )


def _machine() -> dict[str, Any]:
    """Return what this end of the wire ran on; of the server's machine nothing is known."""
    return {"platform": platform.platform(), "python": platform.python_version(), "cpu_count": os.cpu_count()}
