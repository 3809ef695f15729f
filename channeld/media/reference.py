"""What all clips of a profile share to the byte: parameter sets, and one silent audio frame.

Rule: made once, with the built-in filler, and kept beside the clips; a clip that brings other parameter sets is refused. Pure but for
reading its own small file.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from pathlib import Path

from channeld.ts.nal import ParameterSets
from channeld.ts.packet import PACKET_BYTES


@dataclass(frozen=True, slots=True)
class Reference:
    """Parameter sets, and the packets of one silent audio access unit."""

    parameter_sets: ParameterSets
    silent_frame: bytes

    def to_json(self) -> bytes:
        """As it is stored."""
        sets = self.parameter_sets
        silent = base64.b64encode(self.silent_frame).decode()
        vps = {"vps": sets.vps.hex()} if sets.vps else {}
        return json.dumps({"sps": sets.sps.hex(), "pps": sets.pps.hex(), "silent_frame": silent} | vps).encode()

    @classmethod
    def load(cls, path: Path) -> "Reference | None":
        """As it was stored; None when it is missing or damaged."""
        try:
            return cls.from_json(path.read_bytes())
        except OSError:
            return None

    @classmethod
    def from_json(cls, text: bytes | str) -> "Reference | None":
        """Read it; None when it is damaged."""
        try:
            values = json.loads(text)
            sps, pps, vps = (bytes.fromhex(values.get(name, "")) for name in ("sps", "pps", "vps"))
            if not (sps and pps):
                return None
            silent = base64.b64decode(values["silent_frame"], validate=True)
            return cls(ParameterSets(sps, pps, vps), silent) if silent and len(silent) % PACKET_BYTES == 0 else None
        except (ValueError, KeyError, TypeError, binascii.Error):
            return None
