#!/usr/bin/env python3
"""Counts what comes from a venue, and how long messages took from the wire to the proxy's handler. Start it as often as you
like: all share one connection with every other client of this user, in whatever language.

    python_consumer.py NAME URL [SYMBOL:KIND ...]         AAPL:trades, btcusdt:trade

Ctrl-C stops it. FEEDPROXY_SOCKET: the proxy's socket; FEEDPROXY: what to start if there is none ("feedproxy",
"feedproxy --linger-ms 1000"); FEED_VENUE: raw, binance or alpaca; FEED_CREDENTIALS: NAME, where the proxy's environment has NAME_KEY and NAME_SECRET.
"""
import os
import shlex
import sys

import feedproxy


def main() -> int:
    wanted = [each.split(":", 1) for each in sys.argv[3:]]
    if len(sys.argv) < 3 or any(len(each) < 2 or "" in each for each in wanted):
        print("usage: python_consumer.py NAME URL [SYMBOL:KIND ...]        AAPL:trades, btcusdt:trade", file=sys.stderr)
        return 2
    name, url = sys.argv[1:3]
    setting = os.environ.get
    messages = size = lapped = 0
    last_stamps = None
    try:
        with feedproxy.Client(name, path=setting("FEEDPROXY_SOCKET"), spawn=shlex.split(setting("FEEDPROXY", "feedproxy")),
                              reconnect=True) as client:
            feed = client.open(url, venue=setting("FEED_VENUE"), credentials=setting("FEED_CREDENTIALS"))
            feed.on_gap = lambda gap: print(f"{name}: {gap}", file=sys.stderr)
            print(f"{name}: proxy {client.server_pid}, {'opened' if feed.is_new else 'shares'} the connection", flush=True)
            for symbol, kind in wanted:
                existing = feed.subscribe(symbol, kind)
                print(f"{name}: {symbol} {kind} {'was subscribed' if existing else 'subscribed'}", flush=True)
            try:
                for message in feed:
                    size += len(message.payload)  # where it lies; message.bytes() and message.text are copies
                    lapped += not message.intact()
                    messages += 1
                    last_stamps = message.stamps
            except KeyboardInterrupt:
                pass
            print(f"{name}: {messages} messages, {size} bytes, {feed.missed} missed, {lapped} lapped")
            if last_stamps is not None:
                print(f"{name}: the last one, in TSC ticks from wake to handler: {last_stamps.handler - last_stamps.wake}")
    except feedproxy.Error as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
