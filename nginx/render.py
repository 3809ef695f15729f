#!/usr/bin/env python3
"""Renders channeld-rtmp.conf for one instance and makes the folders that it needs.

Rule: the instance lives below its prefix, the HLS folder included; nothing outside of it is written.
Needs Python alone. Run by scripts, by the systemd unit and by people; `python3 nginx/render.py --help`.
"""

import argparse
import os
import pwd
import re
import sys
from pathlib import Path

TEMPLATE = Path(__file__).with_name("channeld-rtmp.conf")
DEFAULT_MODULE = "/usr/lib/nginx/modules/ngx_rtmp_module.so"
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
# What would end or extend a directive if it stood in a path.
_UNSAFE_PATH = re.compile(r"[\s;{}\"'\\$#]")


def render(template: str, values: dict[str, str]) -> str:
    """The template with every `{{name}}` replaced. Raises ValueError when a value is missing or one is not used."""
    wanted = set(_PLACEHOLDER.findall(template))
    if wanted != set(values):
        missing, unused = sorted(wanted - set(values)), sorted(set(values) - wanted)
        raise ValueError(f"template and values differ: missing {missing}, unused {unused}")
    return _PLACEHOLDER.sub(lambda match: values[match[1]], template)


def user_line(prefix: Path) -> str:
    """The `user` directive: started by root, the workers become the owner of the prefix; anybody else stays who they are."""
    if os.geteuid() != 0:
        return "# Started by an ordinary user: no `user` directive, the workers are that user."
    return f"user {pwd.getpwuid(prefix.stat().st_uid).pw_name};"


def instance_values(arguments: argparse.Namespace, prefix: Path) -> dict[str, str]:
    """Every placeholder's value for this instance. Raises ValueError on a path that nginx would misread."""
    for path in (prefix, arguments.module):
        if _UNSAFE_PATH.search(str(path)):
            raise ValueError(f"nginx cannot take this path, it has a space or one of ; {{ }} $ # quotes: {path}")
    if arguments.playlist < 60:
        raise ValueError("--playlist below 60 s would restart the sequence at 0 after a publisher's gap")
    return {
        "prefix": str(prefix),
        "www_dir": str(prefix / "www"),
        "hls_dir": str(prefix / "www" / "hls"),
        "user_line": user_line(prefix),
        "rtmp_module": str(arguments.module),
        "log_level": arguments.log_level,
        "rtmp_listen": arguments.rtmp_listen,
        "rtmp_port": str(arguments.rtmp_port),
        "http_listen": arguments.http_listen,
        "http_port": str(arguments.http_port),
        "control_port": str(arguments.control_port),
        "hls_fragment_s": str(arguments.fragment),
        "hls_max_fragment_s": str(arguments.fragment * 3),
        "hls_playlist_s": str(arguments.playlist),
    }


def make_folders(prefix: Path) -> None:
    """The prefix and what nginx does not make itself, owned by the prefix's owner."""
    prefix.mkdir(parents=True, exist_ok=True)
    owner = prefix.stat()
    for folder in (prefix / "logs", prefix / "temp", prefix / "www", prefix / "www" / "hls"):
        folder.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            os.chown(folder, owner.st_uid, owner.st_gid)


def write_atomically(path: Path, text: str) -> None:
    """Replace the file in one step, so that a reload never reads half of it."""
    temporary = path.with_suffix(".conf.new")
    temporary.write_text(text)
    temporary.replace(path)


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Write PREFIX/nginx.conf for an RTMP origin of its own.")
    parser.add_argument("prefix", type=Path, help="folder of the instance; made when missing")
    parser.add_argument("--rtmp-listen", default="127.0.0.1", help="address for RTMP (publishing stays loopback only)")
    parser.add_argument("--rtmp-port", type=int, default=1935)
    parser.add_argument("--http-listen", default="0.0.0.0", help="address for HLS; [::] for IPv6")
    parser.add_argument("--http-port", type=int, default=8088)
    parser.add_argument("--control-port", type=int, default=8089, help="statistics and control, loopback only")
    parser.add_argument("--fragment", type=int, default=4, help="HLS segment length in seconds, a multiple of the GOP")
    parser.add_argument("--playlist", type=int, default=60, help="length of the manifest in seconds, at least 60")
    parser.add_argument("--module", type=Path, default=Path(DEFAULT_MODULE), help="path of ngx_rtmp_module.so")
    parser.add_argument("--log-level", default="notice", choices=["error", "warn", "notice", "info"])
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Render, and print the path of the configuration."""
    arguments = parse_arguments(argv)
    prefix = arguments.prefix.absolute()
    try:
        make_folders(prefix)
        text = render(TEMPLATE.read_text(), instance_values(arguments, prefix))
    except (ValueError, OSError) as error:
        sys.stderr.write(f"render.py: {error}\n")
        return 2
    path = prefix / "nginx.conf"
    write_atomically(path, text)
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
