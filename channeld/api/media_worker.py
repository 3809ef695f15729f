"""The media worker: a process that reads the buses, packages HLS and DASH and serves viewers.

Rule: it only reads; whatever it does, playout does not notice. It ends with its wire, on `stop`, SIGTERM and SIGINT.
Run as `python -m channeld.api.media_worker --wire-fd N`.

| what | made by | waited for and closed by |
|---|---|---|
| wire, heads sockets, ring descriptors | control; here from the message on | the worker (`_close`; ring descriptors at once) |
| feeds and their rings | the worker | the worker |
| packager:media thread, its rings and files | the worker | the worker |
| reports:media thread | the worker | the worker |
| listener, connections | the worker, uvicorn | uvicorn |
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable

import uvloop

from channeld.api.certificate import Certificate
from channeld.api.media_app import Access, MediaRoutes, Witness
from channeld.api.media_audience import AudienceReports
from channeld.api.media_files import Folder
from channeld.api.media_messages import ChannelOrder, Configuration, read_channel, read_cleaning, read_configuration, read_keys
from channeld.api.media_packaging import Attach, PackagingThread, Remove
from channeld.api.media_reports import Reporter
from channeld.api.media_server import MediaServer, listen, server_config
from channeld.base.clock import SystemClock
from channeld.base.descriptors import widen_descriptors
from channeld.base.errors import ConfigError
from channeld.base.wire import Message, Wire
from channeld.bus.attach import MAX_DATAGRAM_BYTES, unpack_heads
from channeld.bus.reader import RingReader
from channeld.outputs.hls_manifest import read_timeline
from channeld.outputs.hls_store import SegmentStore
from channeld.outputs.http_ts import Feed
from channeld.telemetry import log

_LOG = log.get("media_worker")
_ALIVE_S = 1.0
_TS_PROGRESS_TURNS = 4
_PLACES_S = 4.0
_BATCH = 64
"""Messages or datagrams taken from one descriptor before the loop turns to others."""


class Origin:
    """What stands once the worker is configured: the folder, the thread that fills it, the server that shows it."""

    def __init__(self, wanted: Configuration, feeds: dict[str, Feed], reports: Reporter, witness: Witness) -> None:
        # First: without a certificate that can be used there is no listener.
        certificate = Certificate(wanted.tls, "media.tls", lambda error: reports.put("certificate", error=error)) if wanted.tls else None
        self.access = Access(wanted.token)
        self._wanted, self._certificate = wanted, certificate
        self._listener = listen(wanted.host, wanted.port, reuse_port=wanted.reuse_port)
        self.port = int(self._listener.getsockname()[1])
        self._folder = Folder(wanted.hls_dir)
        clock = SystemClock()
        self.packaging = PackagingThread(SegmentStore(wanted.hls_dir, wanted.hls_max_bytes, clock), reports.put, clock)
        routes = MediaRoutes(self._folder, feeds, self.access, wanted.limits, witness)
        self.streams = routes.streams
        config = server_config(routes.application(), certificate.context if certificate else None)
        self._server = MediaServer(config, lambda: reports.put("ready", port=self.port), certificate)
        self._serving: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Package and serve."""
        self.packaging.start()
        self._serving = asyncio.create_task(self._server.serve([self._listener]))

    @property
    def alive(self) -> bool:
        """Both the server and the packager run."""
        return self.packaging.alive and self._serving is not None and not self._serving.done()

    def listens_as(self, wanted: Configuration) -> bool:
        """Whether what cannot change without a restart is as it was."""
        return _fixed(wanted) == _fixed(self._wanted)

    def change(self, wanted: Configuration) -> None:
        """Take over what can change without a restart: token, limits, cap, and the files of the certificate."""
        self.access.token = wanted.token
        self.streams.limits = wanted.limits
        self.packaging.set_max_bytes(wanted.hls_max_bytes)
        if wanted.tls is not None and self._certificate is not None:
            self._certificate.change(wanted.tls)

    async def close(self) -> None:
        """Let running requests end for a moment, then everything."""
        self._server.stop()
        if self._serving is not None:
            await self._serving
        await asyncio.to_thread(self.packaging.close)
        self._listener.close()
        self._folder.close()


class MediaWorker:
    """Follows control's messages and the hosts' heads; everything runs in the event loop."""

    def __init__(self, wire: Wire) -> None:
        self.exit_status = 0
        self._wire = wire
        self._stopping = asyncio.Event()
        self._reports = Reporter(wire)
        self._origin: Origin | None = None
        self._feeds: dict[str, Feed] = {}
        self._orders: dict[str, ChannelOrder] = {}
        self._audience = AudienceReports(self._feeds, self._reports)
        self._heads: dict[int, socket.socket] = {}
        self._channel_of: dict[int, str] = {}  # by ring id
        self._reactions: dict[str, Callable[[Message], None]] = {
            "configure": self._configure,
            "viewers": self._admit_viewers,
            "heads": self._attach_heads,
            "channel": self._attach_channel,
            "remove": lambda message: self._remove(str(message.values.get("channel"))),
            "clients": lambda message: self._audience.list_clients(message.values),
            "clean": self._clean,
            "cap": self._cap,
            "stop": lambda _: self._stopping.set(),
        }

    async def run(self) -> None:
        """Until told to stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        self._reports.start()
        loop.add_reader(self._wire.fileno(), self._read_wire)
        tasks = asyncio.create_task(self._beat()), asyncio.create_task(self._follow_places())
        try:
            await self._stopping.wait()
        finally:
            for task in tasks:
                task.cancel()
            loop.remove_reader(self._wire.fileno())
            await self._close()

    async def _close(self) -> None:
        for host in list(self._heads):
            self._detach_heads(host)
        for feed in self._feeds.values():
            feed.close()
        self._audience.tell()
        if self._origin is not None:
            await self._origin.close()
        await asyncio.to_thread(self._reports.close)
        self._wire.close()

    async def _beat(self) -> None:
        turn = 0
        while True:
            self._reports.put("alive")
            if self._origin is not None:
                for feed in self._feeds.values():
                    feed.check(self._origin.streams.limits)
            self._audience.tell()
            if turn % _TS_PROGRESS_TURNS == 0:
                self._report_feeds()
            if self._origin is not None and not self._origin.alive:
                self._give_up("the packager or the server ended")
            turn += 1
            await asyncio.sleep(_ALIVE_S)

    async def _follow_places(self) -> None:
        """Apart from the beat: a disk that hangs must not silence it."""
        while True:
            await asyncio.to_thread(self._audience.places.look)
            await asyncio.sleep(_PLACES_S)

    def _report_feeds(self) -> None:
        for channel, feed in self._feeds.items():
            order = self._orders[channel]
            facts = {"media_sequence": feed.head_seq, "published_wall_s": time.time()}
            self._reports.put("progress", channel=channel, output=order.ts, **facts)

    def _read_wire(self) -> None:
        for _ in range(_BATCH):
            try:
                message = self._wire.receive(0)
            except TimeoutError:
                return
            except (ValueError, KeyError, AttributeError) as error:
                _LOG.error("message_refused", error=str(error))
                continue
            except OSError:
                message = None
            if message is None:
                self._stopping.set()
                return
            self._react(message)

    def _react(self, message: Message) -> None:
        try:
            reaction = self._reactions.get(message.kind)
            if reaction is None:
                raise ValueError("unknown kind of message")
            reaction(message)
        except (ValueError, KeyError, TypeError, OSError, ConfigError) as error:
            _LOG.error("message_refused", kind=message.kind, error=str(error))
            self._reports.put("failed", channel=message.values.get("channel"), output=None, error=f"{message.kind}: {error}")
        finally:
            for fd in message.fds:
                os.close(fd)

    def _configure(self, message: Message) -> None:
        try:
            wanted = read_configuration(message.values)
            log.set_level(wanted.log_level)
            self._audience.places.change(wanted.geoip)
            if self._origin is not None:
                if not self._origin.listens_as(wanted):
                    self._give_up("another listener was ordered")
                    return
                self._origin.change(wanted)
                self._reports.put("ready", port=self._origin.port)
                return
            self._origin = Origin(wanted, self._feeds, self._reports, self._audience)
        except (ValueError, OSError, ConfigError) as error:
            if self._origin is None:
                self._give_up(str(error))
            raise
        self._origin.start()

    def _admit_viewers(self, message: Message) -> None:
        if self._origin is None:
            raise ValueError("viewers need configure first")
        self._origin.access.keys = read_keys(message.values)

    def _give_up(self, reason: str) -> None:
        _LOG.error("gave_up", reason=reason)
        self.exit_status = 1
        self._stopping.set()

    def _attach_heads(self, message: Message) -> None:
        host, (fd,) = int(message.values["host"]), message.fds
        self._detach_heads(host)
        end = socket.socket(fileno=os.dup(fd))
        end.setblocking(False)
        self._heads[host] = end
        asyncio.get_running_loop().add_reader(end.fileno(), self._read_heads, host)

    def _detach_heads(self, host: int) -> None:
        end = self._heads.pop(host, None)
        if end is not None:
            asyncio.get_running_loop().remove_reader(end.fileno())
            end.close()

    def _read_heads(self, host: int) -> None:
        moved: dict[str, int] = {}
        for _ in range(_BATCH):
            try:
                datagram = self._heads[host].recv(MAX_DATAGRAM_BYTES)
            except BlockingIOError:
                break
            except OSError:
                datagram = b""
            if not datagram:
                self._detach_heads(host)
                break
            moved |= {self._channel_of[ring]: head for ring, head in unpack_heads(datagram) if ring in self._channel_of}
        for channel, head in moved.items():
            if channel in self._feeds:
                self._feeds[channel].advance(head)
        if moved and self._origin is not None:
            self._origin.packaging.advance(moved)

    def _attach_channel(self, message: Message) -> None:
        order = read_channel(message.values)
        if self._origin is None or len(message.fds) != 1:
            raise ValueError("a channel needs configure first, and one ring")
        reader = RingReader(message.fds[0])
        try:
            read_timeline(reader.description)
        except ValueError:
            reader.close()
            raise
        previous = self._orders.get(order.channel)
        if previous is not None:
            self._channel_of.pop(previous.ring_id, None)
        self._orders[order.channel] = order
        self._channel_of[order.ring_id] = order.channel
        for packaged in order.packaged:
            self._origin.packaging.order(Attach(order.channel, packaged, RingReader(message.fds[0])))
        for gone in previous.packagings - order.packagings if previous is not None else ():
            self._origin.packaging.order(Remove(order.channel, gone))
        if previous is not None and previous.ring_id == order.ring_id and previous.ts is not None and order.ts is not None:
            reader.close()  # other outputs changed, or another control asks; viewers of this one read on
        else:
            self._attach_feed(order, reader)
        self._audience.tell_again(order.channel)

    def _attach_feed(self, order: ChannelOrder, reader: RingReader) -> None:
        if order.ts is None:
            reader.close()
            self._close_feed(order.channel)
            return
        feed = self._feeds.setdefault(order.channel, Feed(order.channel, order.ts))
        feed.output = order.ts
        feed.attach(reader, reader.head_seq)
        self._audience.tell_again(order.channel)

    def _close_feed(self, channel: str) -> None:
        feed = self._feeds.get(channel)
        if feed is not None:
            feed.close()
            self._audience.tell()  # of those who had to leave
            del self._feeds[channel]

    def _clean(self, message: Message) -> None:
        if self._origin is not None:
            self._origin.packaging.order(read_cleaning(message.values))

    def _cap(self, message: Message) -> None:
        if self._origin is not None:
            self._origin.packaging.set_max_bytes(int(message.values["max_bytes"]))

    def _remove(self, channel: str) -> None:
        order = self._orders.pop(channel, None)
        if order is None:
            return
        self._channel_of.pop(order.ring_id, None)
        self._close_feed(channel)
        if self._origin is not None:
            for packaging in order.packagings:
                self._origin.packaging.order(Remove(channel, packaging))


def _fixed(wanted: Configuration) -> tuple[object, ...]:
    return wanted.host, wanted.port, str(wanted.hls_dir), wanted.tls is not None, wanted.reuse_port


async def work(wire_fd: int) -> int:
    """Run one worker on this wire; returns the exit status."""
    worker = MediaWorker(Wire(socket.socket(fileno=wire_fd)))
    await worker.run()
    return worker.exit_status


def main() -> int:
    """The process."""
    parser = argparse.ArgumentParser(description="Packages and serves what the buses carry; started by the daemon.")
    parser.add_argument("--wire-fd", type=int, required=True, help="descriptor of the SEQPACKET socket to control")
    parser.add_argument("--log-level", default="info")
    arguments = parser.parse_args()
    log.configure(arguments.log_level)
    widen_descriptors()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work(arguments.wire_fd))


if __name__ == "__main__":
    sys.exit(main())
