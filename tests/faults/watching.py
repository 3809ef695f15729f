"""A playlist's watch in a process of its own, to be starved, stopped and flooded: tells each change as one line.

Run as `python watching.py PLAYLIST`: prints `ready`, then `KIND SIZE` for each change, until its stdin ends.
"""

import sys
from pathlib import Path

from channeld.playlist.watch import ChangeKind, PlaylistWatch, Watcher


def main() -> None:
    """Watch until stdin ends."""
    playlist = Path(sys.argv[1])

    def tell(kind: ChangeKind) -> None:
        size = playlist.stat().st_size if playlist.is_file() else 0
        sys.stdout.write(f"{kind.value} {size}\n")
        sys.stdout.flush()

    watcher = Watcher()
    watcher.start()
    watcher.add(PlaylistWatch(playlist, tell))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    watcher.close()


main()
