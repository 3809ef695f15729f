"""What a killed run left on the disks: drafts of lists, token and books, unfinished HLS and DASH files, those of channels that are gone.

Rule: only files whose names only we give, in our own folders (drafts of lists: beside the list), and only those that nobody has open;
FIFOs and sockets belong to who makes them, parts of clips to the cache. Run at start, with the locks held.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import structlog

from channeld.access.book import is_book_draft
from channeld.base.drafts import is_draft_of
from channeld.config_values import Config
from channeld.outputs import dash_manifest, hls_manifest
from channeld.outputs.dash import DASH_FILES
from channeld.outputs.hls_store import CHANNEL_ID, HLS_FILES, PackagingType
from channeld.playlist.trail import is_being_written

_TOKEN_DRAFT = re.compile(r"\.admin\.token\.[0-9a-f]{16}")
_PACKAGED = ((HLS_FILES, hls_manifest.OUR_MARK), (DASH_FILES, dash_manifest.OUR_MARK))
_BOOK_DRAFT = re.compile(r"\.[a-z]+\.json\.\d+\.\d+\.tmp")  # media.fingerprint.write_atomically

log = structlog.get_logger()


def remove_leftovers(config: Config) -> list[Path]:
    """Remove them; gives what was removed. What cannot be looked at or removed is told and stays."""
    removed = []
    for path in _leftovers(config):
        try:
            if path.is_symlink() or not path.is_file() or is_being_written(str(path)) is True:
                continue
            path.unlink()
        except OSError as error:
            log.warning("leftover_stays", path=str(path), error=error.strerror)
            continue
        removed.append(path)
    if removed:
        log.info("leftovers_removed", files=len(removed))
    return removed


def _leftovers(config: Config) -> Iterator[Path]:
    folders = config.folders
    yield from (path for path in _entries(folders.state) if _TOKEN_DRAFT.fullmatch(path.name) or is_book_draft(path.name))
    for folder in (folders.state / "cache", *_entries(folders.state / "cache")):
        yield from (path for path in _entries(folder) if _BOOK_DRAFT.fullmatch(path.name))
    for folder in _entries(folders.hls):
        if CHANNEL_ID.fullmatch(folder.name):
            yield from (path for path in _entries(folder) if path.suffix == ".tmp" and _is_packaged_file(path.stem))
    for playlist in {channel.playlist for channel in config.channels.values()}:
        target = playlist.resolve()  # drafts lie beside what a link leads to
        yield from (path for path in _entries(target.parent) if is_draft_of(path.name, target.name))


def _is_packaged_file(name: str) -> bool:
    return any(name == names.manifest or names.segment.fullmatch(name) is not None for names, _ in _PACKAGED)


def _entries(folder: Path) -> list[Path]:
    if folder.is_symlink() or not folder.is_dir():
        return []
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def orphaned_files(config: Config) -> list[tuple[str, PackagingType]]:
    """Channels whose HLS or DASH files we once wrote below `hls_dir`, and who are packaged so no more."""
    served = {(channel.id, output.type) for channel in config.channels.values() for output in channel.outputs if output.enabled}
    found: list[tuple[str, PackagingType]] = []
    for folder in _entries(config.folders.hls):
        for names, mark in _PACKAGED:
            is_served = (folder.name, names.type) in served
            if CHANNEL_ID.fullmatch(folder.name) and not is_served and _is_ours(folder / names.manifest, mark, names.max_manifest_bytes):
                found.append((folder.name, names.type))
    return found


def _is_ours(manifest: Path, mark: bytes, most: int) -> bool:
    try:
        with manifest.open("rb") as file:
            return mark in file.read(most)
    except OSError:
        return False
