"""What `hotseat store ls` and `hotseat store check` print."""

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from kv_store import check_store, list_store

_MIB = 2**20
_CAPTION = (
    "blocks: what a match uses; of others: how many of these are shared and lie in another match's packs; "
    "MiB: all that it uses, shared ones too"
)


def print_listing(folder: Path, as_json: bool) -> None:
    """Print what a store holds. Raises StoreError if there is none."""
    listing = list_store(folder)
    if as_json:
        print(_as_json(listing))
        return
    table = Table("match", "packs", "blocks", "of others", "MiB", "last use", title=str(folder), caption=_CAPTION)
    for match in listing.matches:
        used = datetime.fromtimestamp(match.last_used_s, UTC).isoformat(" ") if match.last_used_s else "-"
        row = (match.match, match.packs, match.blocks, match.shared_blocks, f"{match.size_bytes / _MIB:.1f}", used)
        table.add_row(*map(str, row))
    console = Console()
    console.print(table)
    console.print(f"{listing.packs} packs, {listing.blocks} blocks, {listing.pack_bytes / _MIB:.1f} MiB")
    if listing.holder is not None:
        holder = listing.holder
        who = f"process {holder.pid} on {holder.host}" if holder.pid else "a process that has not said who it is"
        console.print(f"In use by {who}", highlight=False)


def print_check(folder: Path, repair: bool, as_json: bool) -> bool:
    """Print what a check found; return whether all is well (now). Raises StoreError if it cannot be opened."""
    report = check_store(folder, repair=repair)
    if as_json:
        print(_as_json(report))
    else:
        print(report)
    return report.clean or repair


def _as_json(report: Any) -> str:
    return json.dumps(dataclasses.asdict(report), default=str, indent=1)
