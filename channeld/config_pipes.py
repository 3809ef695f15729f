"""The named pipes among the outputs: where they are, and what a path may not be.

Rule: what can be seen in the file alone is a fault here; what depends on the machine is looked at by `check`. Run by `config_rules`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from channeld.channel.pipe_desk import FOLDER
from channeld.config_model import NamedPipeModel
from channeld.config_outputs import PipeSpec
from channeld.config_values import ChannelSpec
from channeld.config_yaml import KeyPath, key_text
from channeld.outputs.pipe_player import Player

if TYPE_CHECKING:
    from channeld.config_rules import Findings

MAX_NAME_BYTES, MAX_PATH_BYTES = 255, 4095
"""NAME_MAX and PATH_MAX of Linux."""
SYSTEM_FOLDERS = (Path("/proc"), Path("/sys"), Path("/dev"))


def make_pipe(found: "Findings", place: KeyPath, name: str, model: NamedPipeModel, folders: dict[str, Path]) -> PipeSpec:
    """One output; `folders`: those of the configuration by their keys."""
    first = folders["runtime_dir"] / FOLDER / f"{place[1]}.ts"
    if model.path is not None:
        first = Path(model.path)
        _judge(found, (*place, "path"), first, folders)
    player = None
    if model.player is not None:
        player = Player(model.player, model.connection_timeout_ms / 1000)
    paths = (first, *(first.with_name(f"{first.stem}-{number}{first.suffix}") for number in range(2, model.count + 1)))
    if len(paths[-1].name.encode()) > MAX_NAME_BYTES or len(str(paths[-1]).encode()) > MAX_PATH_BYTES:
        found.fault((*place, "path"), f"{str(paths[-1])[:80]!r}… is longer than a path may be. Choose a shorter one")
    return PipeSpec(name, model.enabled, paths, float(model.max_buffer_segments), model.segment_timeout_ms / 1000, player)


def _judge(found: "Findings", key: KeyPath, path: Path, folders: dict[str, Path]) -> None:
    if not path.is_absolute() or ".." in path.parts or not path.name:
        found.fault(key, f"{str(path)[:80]!r} is not a path that others find. Write an absolute one, without `..`")
        return
    taken = {**{str(folder): folder for folder in SYSTEM_FOLDERS}, **{name: folders[name] for name in ("state_dir", "hls_dir")}}
    runtime = folders["runtime_dir"]
    for name, folder in taken.items():
        if path.is_relative_to(folder):
            found.fault(key, f"{path} is below {name}, where no pipe belongs. Choose a folder of its own, such as {runtime / FOLDER}")
            return
    # Sockets, and FIFOs of pushes, which nobody else may open.
    if path.is_relative_to(runtime) and path.parent not in (runtime, runtime / FOLDER):
        found.fault(key, f"{path} is among the daemon's own files. Write it into {runtime / FOLDER}, or into another folder")


def refuse_shared_paths(found: "Findings", channels: Iterable[ChannelSpec]) -> None:
    """Two outputs cannot make one pipe."""
    first: dict[Path, KeyPath] = {}
    for channel in channels:
        for number, output in enumerate(channel.outputs):
            if not isinstance(output, PipeSpec):
                continue
            here: KeyPath = ("channels", channel.id, "outputs", number, "named_pipe")
            for path in output.paths:
                other = first.setdefault(path, here)
                if other != here:
                    place = found.tree.value_place(other)
                    where = f"{key_text(other)}" + (f" (line {place.line})" if place else "")
                    found.fault((*here, "path"), f"{path} is also a pipe of {where}. Give each output a `path` of its own")
                    break
