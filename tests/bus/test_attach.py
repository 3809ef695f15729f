"""Heads as datagrams."""

import socket

import pytest

from channeld.bus.attach import MAX_DATAGRAM_BYTES, MAX_HEADS, pack_heads, unpack_heads


def test_heads_survive_a_seqpacket_socket() -> None:
    heads = [(number, 2**64 - 1 - number) for number in range(MAX_HEADS)]
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right:
        left.send(pack_heads(heads), socket.MSG_DONTWAIT)
        assert unpack_heads(right.recv(MAX_DATAGRAM_BYTES)) == heads


def test_no_heads_are_no_bytes() -> None:
    assert unpack_heads(pack_heads([])) == []


def test_too_many_heads_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        pack_heads((1, 1) for _ in range(MAX_HEADS + 1))


@pytest.mark.parametrize("datagram", [b"x", bytes(17), bytes(MAX_DATAGRAM_BYTES + 16)])
def test_a_torn_or_oversized_datagram_is_refused(datagram: bytes) -> None:
    with pytest.raises(ValueError, match="datagram"):
        unpack_heads(datagram)
