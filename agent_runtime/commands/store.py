"""`hotseat store`."""

from pathlib import Path
from typing import Annotated

import typer

from agent_runtime.commands.options import JsonOption

store_app = typer.Typer(no_args_is_help=True, help="Look into a store of blocks on disk.")
StoreArgument = Annotated[Path, typer.Argument(help="The store's folder.")]


@store_app.command("ls")
def store_ls(folder: StoreArgument, as_json: JsonOption = False) -> None:
    """List the matches in a store: packs, blocks, bytes, last use. Works beside a running server."""
    from agent_runtime.commands.store_tables import print_listing

    print_listing(folder, as_json)


@store_app.command("check")
def store_check(
    folder: StoreArgument,
    repair: Annotated[bool, typer.Option(help="Rebuild the index from the packs and drop what is damaged.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Verify every checksum and reconcile packs with the index. Exit code 1 if anything is wrong."""
    from agent_runtime.commands.store_tables import print_check

    raise typer.Exit(0 if print_check(folder, repair, as_json) else 1)
