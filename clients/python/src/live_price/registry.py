"""What a client is to be subscribed to, what the server has of it, and where each stream was last.

Without sockets: `messages` returns what to send, `take` takes what came. Each name of each
subscription is a `Route`; routes of the same instrument share a `Stream`, to which the server
subscribes the connection once.
"""

import itertools
import json
import math
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic

from live_price.errors import PriceError, SymbolError, error_of
from live_price.reading import Reader, key_of
from live_price.routes import Options, Route, RouteState, Sink, Stream
from live_price.values import ChainMoved, History, N, Recovered, Subscribed

# Well below what a server takes; a position takes about 70 bytes.
_MAX_MESSAGE_BYTES = 48_000
_MAX_HISTORY = 1000
_MINUTE_MS = 60_000
# Refused for now: asked for again on the same connection.
_RETRIED = frozenset({429, 500, 503})
_ALREADY = 409


_Pending = dict[str, list[Route]]


class Registry(Generic[N]):
    """Everything that one client is subscribed to."""

    def __init__(self, reader: Reader[N]) -> None:
        self._reader = reader
        self._routes: dict[Route, None] = {}
        self._streams: dict[tuple[str, str], Stream] = {}
        self._pending: dict[int, _Pending] = {}
        self._unsubscribe: list[dict[str, Any]] = []
        self._leaving: list[Route] = []  # dropped before the server answered
        self._ids = itertools.count(1)
        self.wants_retry = False

    # -- what subscriptions want ------------------------------------------------------------------

    def add(self, route: Route) -> None:
        self._routes[route] = None

    def drop(self, route: Route) -> None:
        """Forget a route, and unsubscribe its streams if no other route needs them."""
        self._routes.pop(route, None)
        route.is_dropped = True
        if route.state is RouteState.SENT:
            self._leaving.append(route)
        else:
            self._leave(route)

    def _leave(self, route: Route) -> None:
        unsubscribed = []
        for stream in list(route.streams):
            stream.routes.remove(route)
            if stream.routes:
                if stream.owner is route:
                    stream.owner = stream.routes[0]
                continue
            if self._streams.get((stream.candles, stream.key)) is stream:
                del self._streams[stream.candles, stream.key]
            if stream.owner is not None:
                unsubscribed.append(stream)
        route.streams.clear()
        twins = [one for one in self._routes if one.chain_id and one.chain_id == route.chain_id]
        if route.chain is not None and route.chain.strikes_around is not None:
            if route.chain_id and not twins:
                segment, underlying, expiry = route.chain_id
                values = {"underlying": underlying, "segment": segment, "expiry": expiry}
                self._unsubscribe.append({"action": "unsubscribe", **values})
            return
        for stream in unsubscribed:
            message: dict[str, Any] = {"action": "unsubscribe", "symbols": [stream.key]}
            if stream.candles:
                message["candles"] = stream.candles
            last = self._unsubscribe[-1] if self._unsubscribe else {}
            if {**last, "symbols": [stream.key]} == message and len(last["symbols"]) < 500:
                last["symbols"].append(stream.key)
            else:
                self._unsubscribe.append(message)

    # -- the connection ---------------------------------------------------------------------------

    def lost(self) -> None:
        """Note that the connection ended: everything is to be subscribed again."""
        self._pending.clear()
        for route in self._leaving:
            self._leave(route)
        self._leaving.clear()
        self._unsubscribe.clear()
        self.wants_retry = False
        for stream in self._streams.values():
            stream.owner = None
            stream.is_richer = stream.is_upgraded = False
            stream.position.begin()
        for route in self._routes:
            route.state = RouteState.NEW

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield what to send now, in order."""
        unsubscribe, self._unsubscribe = self._unsubscribe, []
        for message in unsubscribe:
            yield {**message, "id": next(self._ids)}
        groups: dict[tuple[Any, ...], list[Route]] = defaultdict(list)
        for route in self._routes:
            if route.state is RouteState.NEW:
                count = self._past_count(route)
                groups[route.chain, route.options, count].append(route)
        for (chain, options, count), routes in groups.items():
            if chain is not None:
                for route in routes:
                    message = {**self._subscribe(options, 0), **chain.values()}
                    positions = {one.key: one.position.since for one in route.streams}
                    since = {key: position for key, position in positions.items() if position}
                    if since:
                        message["since"] = since
                    yield self._send(message, {chain.underlying: [route]})
            else:
                yield from self._name_messages(options, count, routes)

    def _past_count(self, route: Route) -> int:
        """Return how many past ticks or candles to ask for."""
        if not route.options.candles:
            has_position = any(stream.position.since for stream in route.streams)
            return 0 if has_position and route.options.resume else route.options.history
        for stream in route.streams:
            if stream.candle is not None and route.options.resume:
                start, ends = stream.candle["start"], stream.candle["ends"]
                length = max(ends - start, _MINUTE_MS)
                passed: int = math.ceil((time.time() * 1000 - start) / length)
                return min(_MAX_HISTORY, max(2, passed + 1))
        # Without history, the newest candle comes at once, as the latest price does.
        return max(1, route.options.history)

    @staticmethod
    def _subscribe(options: Options, count: int) -> dict[str, Any]:
        message: dict[str, Any] = {"action": "subscribe"}
        if options.segment:
            message["segment"] = options.segment
        if options.candles:
            message["candles"] = options.candles
            message["history"] = {"candles": {"interval": options.candles, "count": count}}
            return message
        message["seq"] = True
        if options.mode:
            message["mode"] = options.mode
        if not options.conflate:
            message["conflate"] = False
        if count:
            message["history"] = {"ticks": count}
        return message

    def _name_messages(
        self, options: Options, count: int, routes: Sequence[Route]
    ) -> Iterator[dict[str, Any]]:
        by_name: _Pending = defaultdict(list)
        for route in routes:
            by_name[route.name].append(route)
        symbols: _Pending = {}
        since: dict[str, Any] = {}
        size = 0
        for name, some in by_name.items():
            position = None
            if options.resume and not options.candles:
                position = next(
                    (one.resume_from() for route in some for one in route.streams), None
                )
            needed = 2 * len(json.dumps(name)) + (80 if position else 4)
            if symbols and size + needed > _MAX_MESSAGE_BYTES:
                yield self._name_message(options, count, symbols, since)
                symbols, since, size = {}, {}, 0
            symbols[name] = some
            size += needed
            if position:
                since[name] = position
        if symbols:
            yield self._name_message(options, count, symbols, since)

    def _name_message(
        self, options: Options, count: int, symbols: _Pending, since: Mapping[str, Any]
    ) -> dict[str, Any]:
        message = self._subscribe(options, count)
        message["symbols"] = list(symbols)
        if since:
            message["since"] = dict(since)
        return self._send(message, symbols)

    def _send(self, message: dict[str, Any], pending: _Pending) -> dict[str, Any]:
        id = next(self._ids)
        self._pending[id] = pending
        for route in itertools.chain.from_iterable(pending.values()):
            route.state = RouteState.SENT
        return {**message, "id": id}

    def retry(self) -> None:
        """Let what was refused for now be sent again."""
        self.wants_retry = False
        for route in self._routes:
            if route.state is RouteState.REJECTED and route.error and route.error.code in _RETRIED:
                route.state = RouteState.NEW

    # -- what came --------------------------------------------------------------------------------

    def take_price(self, frame: dict[str, Any]) -> None:
        """Give a price frame to the subscriptions that want it, unless they have it already."""
        key = key_of(frame)
        stream = self._streams.get(("", key))
        if stream is None:
            # The master has the name only now: it has a segment from now on.
            stream = self._streams.get(("", frame["symbol"]))
            if stream is None:
                return
            self._rename(stream, key)
        if not stream.position.take(frame):
            if stream.is_richer:
                self._take_again(stream, frame)
            return
        stream.last = frame
        if stream.is_richer:
            stream.end_waiting()
        for route in stream.routes:
            route.sink.put(stream, self._reader.tick(frame, _shown(route, key), key))

    def _take_again(self, stream: Stream, frame: dict[str, Any]) -> None:
        """Give the newest price once more, with more fields, to the routes that wait for it."""
        if (frame["epoch"], frame["seq"]) != (stream.position.epoch, stream.position.seq):
            return
        stream.last = frame
        for route in [one for one in stream.routes if one in stream.waiting]:
            tick = self._reader.tick(frame, _shown(route, stream.key), stream.key)
            route.sink.put(stream, tick)
        stream.end_waiting()

    def _rename(self, stream: Stream, key: str) -> None:
        del self._streams[stream.candles, stream.key]
        stream.key = key
        self._streams[stream.candles, key] = stream

    def take(self, frame: dict[str, Any]) -> bool:
        """Take a frame that has a type; return whether it was about subscriptions."""
        match frame["type"]:
            case "subscribed":
                self._subscribed(frame)
            case "unsubscribed":
                pass
            case "resumed":
                self._resumed(frame)
            case "history":
                self._history(frame)
            case "candle":
                self._candle(frame)
            case "candles":
                self._candles(frame)
            case "chain":
                self._chain(frame)
            case "error":
                return self._refused(frame)
            case _:
                return False
        return True

    def _take_pending(self, frame: Mapping[str, Any]) -> _Pending:
        id = frame.get("id")
        return self._pending.pop(id, {}) if isinstance(id, int) else {}

    def _subscribed(self, frame: dict[str, Any]) -> None:
        pending = self._take_pending(frame)
        keys: dict[str, str] = frame.get("keys", {})
        unknown = {one["symbol"]: one.get("suggestions", []) for one in frame.get("unknown", ())}
        rejected = {one["symbol"]: one for one in frame.get("rejected", ())}
        sinks: dict[Sink, None] = {}
        chains = [route for some in pending.values() for route in some if route.chain is not None]
        for route in chains:
            sinks[route.sink] = None
            self._chain_subscribed(route, frame, rejected)
        for name, routes in pending.items():
            for route in [one for one in routes if one.chain is None]:
                sinks[route.sink] = None
                if (refusal := rejected.get(name)) is not None:
                    key = self._key_of_owned(route, refusal)
                    if refusal["code"] == _ALREADY and key is not None:
                        self._share(route, key)
                    else:
                        suggestions = refusal.get("suggestions") or unknown.get(name, [])
                        self._reject(
                            route,
                            SymbolError(refusal["message"], refusal["code"], name, suggestions),
                        )
                    continue
                key = keys.get(name, name)
                stream = self._stream(route.options.candles, key)
                if not self._join(route, stream):
                    continue
                stream.is_richer = bool(stream.waiting)
                route.sink.put(
                    (Subscribed, name),
                    Subscribed(name, key, name not in unknown, tuple(unknown.get(name, ()))),
                )
        for sink in sinks:
            sink.settle()

    def _stream(self, candles: str, key: str) -> Stream:
        return self._streams.setdefault((candles, key), Stream(candles, key))

    def _join(self, route: Route, stream: Stream, *, waits: bool = False) -> bool:
        """Let a route have a stream that the server has now; return whether it still wants it.

        Args:
            waits: the newest price lacks fields that the route wants, and comes once more.
        """
        if stream.owner is None:
            stream.owner = route
        is_shared = stream.owner is not route
        for former in route.streams - {stream} if route.chain is None else ():
            former.routes.remove(route)
            if not former.routes:
                self._streams.pop((former.candles, former.key), None)
        if route.chain is None:
            route.streams &= {stream}
        if stream not in route.streams:
            route.streams.add(stream)
            stream.routes.append(route)
            if is_shared and (waits or stream.waiting):
                stream.waiting.add(route)
            elif is_shared and stream.last is not None:
                tick = self._reader.tick(stream.last, _shown(route, stream.key), stream.key)
                route.sink.put(stream, tick)
        route.state, route.error = RouteState.ON, None
        if route.is_dropped:
            self._leave(route)
            return False
        return True

    def _key_of_owned(self, route: Route, refusal: Mapping[str, Any]) -> str | None:
        """Return the key of what the connection has under another name; None if not known."""
        name = refusal.get("key", route.name)
        candles = route.options.candles
        owned = [
            key for (one, key), stream in self._streams.items() if one == candles and stream.owner
        ]
        if name in owned:
            return str(name)
        # Servers before 0.2 do not say which instrument it is.
        alike = [key for key in owned if key.rpartition(":")[2] == route.name.rpartition(":")[2]]
        return alike[0] if len(alike) == 1 else None

    def _share(self, route: Route, key: str) -> None:
        """Let a route have what the connection has by another one."""
        stream = self._stream(route.options.candles, key)
        owner = stream.owner
        is_new = stream not in route.streams
        waits = False
        if owner is not None and owner is not route and not stream.candles:
            is_richer = owner.options.with_more(route.options).mode != owner.options.mode
            waits = is_richer and (route.options.resume or not route.options.history)
        if not self._join(route, stream, waits=waits):
            return
        if is_new:
            route.sink.put((Subscribed, route.name), Subscribed(route.name, key))
        if owner is None or owner is route or stream.candles:
            return
        richer = owner.options.with_more(route.options)
        if richer != owner.options:
            # The server has it with less than this one wants: it is subscribed again with all.
            self._unsubscribe.append({"action": "unsubscribe", "symbols": [key]})
            stream.owner = None
            stream.is_upgraded = True
            stream.position.begin()
            route.options = route.options.with_more(owner.options)
            route.state = RouteState.NEW
            if owner.chain is None:
                owner.options = richer

    def _reject(self, route: Route, error: SymbolError) -> None:
        route.state, route.error = RouteState.REJECTED, error
        if error.code in _RETRIED:
            self.wants_retry = True
        for stream in list(route.streams):
            stream.routes.remove(route)
            if not stream.routes:
                self._streams.pop((stream.candles, stream.key), None)
        route.streams.clear()
        if not route.is_dropped:
            route.sink.put((SymbolError, route.name), error)

    def _refused(self, frame: Mapping[str, Any]) -> bool:
        pending = self._take_pending(frame)
        sinks: dict[Sink, None] = {}
        for name, routes in pending.items():
            for route in routes:
                sinks[route.sink] = None
                self._reject(route, SymbolError(frame["message"], frame["code"], name))
        for sink in sinks:
            sink.settle()
        return bool(pending)

    def _resumed(self, frame: Mapping[str, Any]) -> None:
        stream = self._streams.get(("", frame["key"]))
        if stream is None:
            return
        ticks = max(0, frame["ticks"] - stream.repeated)
        is_upgraded = stream.is_upgraded
        stream.repeated, stream.is_upgraded = 0, False
        if is_upgraded and frame["recovered"]:
            return  # nothing was lost
        event = Recovered(
            frame["symbol"], frame["key"], frame["recovered"], ticks, frame.get("reason", "")
        )
        for route in stream.routes:
            route.sink.put((Recovered, frame["key"]), event)

    def _history(self, frame: dict[str, Any]) -> None:
        key = frame["key"]
        stream = self._streams.get(("", key))
        if stream is None:
            return
        fresh = [one for one in frame["ticks"] if stream.position.take(one)]
        if fresh:
            stream.last = fresh[-1]
        for route in stream.routes:
            shown = _shown(route, key)
            ticks = tuple(self._reader.tick(one, shown, key, past=True) for one in fresh)
            route.sink.put(
                (History, key), History(shown, key, ticks=ticks, reason=frame.get("reason", ""))
            )

    def _candle(self, frame: dict[str, Any]) -> None:
        interval, key = frame["interval"], frame["key"]
        stream = self._streams.get((interval, key))
        if stream is None:
            bare = self._streams.get((interval, key.rpartition(":")[2]))
            if bare is None:
                return
            stream = bare
            self._rename(stream, key)
        if not _is_newer(frame, stream.candle):
            return
        if stream.candle is None or frame["start"] >= stream.candle["start"]:
            stream.candle = frame
        for route in stream.routes:
            candle = self._reader.candle(frame, route.name, key, interval)
            route.sink.put((stream, candle.start), candle)

    def _candles(self, frame: dict[str, Any]) -> None:
        """Take past candles: those asked for, or after a loss those that changed meanwhile."""
        interval, key, name = frame["interval"], frame["key"], frame["symbol"]
        stream = self._streams.get((interval, key)) or self._streams.get((interval, name))
        if stream is None:
            return
        if stream.key != key:
            self._rename(stream, key)
        last = stream.candle
        found = [{**one, "key": key, "interval": interval} for one in frame["candles"]]
        fresh = found
        if last is not None:
            # Each is compared with the newest that came; one of before may have been final then.
            fresh = [one for one in found if one["start"] >= last["start"] and _is_newer(one, last)]
        if fresh:
            stream.candle = fresh[-1]
        for route in stream.routes:
            candles = tuple(
                self._reader.candle(one, route.name, key, interval, past=True) for one in fresh
            )
            if last is None:
                route.sink.put((History, key), History(route.name, key, candles=candles))
                continue
            is_whole = bool(found) and found[0]["start"] <= last["start"]
            reason = "" if is_whole else "more candles are missing than the server sends"
            event = Recovered(name, key, is_whole, len(candles), reason)
            route.sink.put((Recovered, key), event)
            for candle in candles:
                route.sink.put((stream, candle.start), candle)

    # -- option chains ----------------------------------------------------------------------------

    def _chain_subscribed(
        self, route: Route, frame: Mapping[str, Any], rejected: Mapping[str, Any]
    ) -> None:
        chain = frame.get("chain", {})
        route.chain_id = (chain.get("segment"), chain.get("underlying"), chain.get("expiry"))
        keys = [
            *frame["symbols"],
            *(name for name, one in rejected.items() if one["code"] == _ALREADY),
        ]
        for stream in list(route.streams):
            if stream.key not in keys:
                self._leave_stream(route, stream)
        for key in keys:
            self._join(route, self._stream("", key))
        route.state = RouteState.ON
        for name, one in rejected.items():
            if one["code"] != _ALREADY:
                error = SymbolError(one["message"], one["code"], name)
                route.sink.put((SymbolError, name), error)
        event = ChainMoved(tuple(frame["symbols"]), (), chain)
        if not route.is_dropped:
            route.sink.put(ChainMoved, event)

    def _chain(self, frame: Mapping[str, Any]) -> None:
        id = (frame["segment"], frame["underlying"], frame["expiry"])
        for route in [one for one in self._routes if one.chain_id == id]:
            for key in frame["removed"]:
                stream = self._streams.get(("", key))
                if stream in route.streams and stream is not None:
                    self._leave_stream(route, stream)
            for key in frame["added"]:
                self._join(route, self._stream("", key))
            route.sink.put(
                ChainMoved, ChainMoved(tuple(frame["added"]), tuple(frame["removed"]), frame)
            )

    def _leave_stream(self, route: Route, stream: Stream) -> None:
        """Let a route be without a stream that the server does not have any more."""
        route.streams.discard(stream)
        stream.routes.remove(route)
        if not stream.routes:
            self._streams.pop((stream.candles, stream.key), None)
        elif stream.owner is route:
            stream.owner = stream.routes[0]

    # -- entitlements -----------------------------------------------------------------------------

    def dropped(self, keys: Iterable[str]) -> None:
        """Note that the user may not see these instruments any more."""
        sinks: dict[Sink, None] = {}
        for key in keys:
            for stream in [one for one in self._streams.values() if one.key == key]:
                for route in list(stream.routes):
                    sinks[route.sink] = None
                    if route.chain is not None:
                        self._leave_stream(route, stream)
                        continue
                    message = f"not entitled to {key.partition(':')[0]} any more"
                    self._reject(route, SymbolError(message, 403, route.name))
        for sink in sinks:
            sink.settle()

    def may_see_more(self) -> None:
        """Let what the user could not see be sent again."""
        for route in self._routes:
            if route.state is RouteState.REJECTED and route.error and route.error.code == 403:
                route.state = RouteState.NEW


def _shown(route: Route, key: str) -> str:
    """Return the name by which a route subscribed to an instrument."""
    return key if route.chain is not None else route.name


def _is_newer(candle: Mapping[str, Any], last: Mapping[str, Any] | None) -> bool:
    """Return whether a candle says more than the last one that came."""
    if last is None or candle["start"] != last["start"]:
        return True
    return any(candle[name] != last[name] for name in candle.keys() & last.keys() - {"type"})


def refusal_of(frame: Mapping[str, Any]) -> PriceError:
    """Return the error of an error frame."""
    return error_of(str(frame.get("message", "")), int(frame.get("code", 500)))
