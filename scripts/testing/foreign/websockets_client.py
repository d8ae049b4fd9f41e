"""A client on Debian's python3-websockets; see foreign_clients.py for what it is told and what it tells."""
import asyncio
import json
import ssl
import sys

import websockets

plan = json.loads(sys.argv[1])


def say(**line) -> None:
    print(json.dumps(line), flush=True)


async def send(socket, text: str) -> None:
    if not plan["fragmented"]:
        return await socket.send(text)
    # An iterable of bytes leaves as alpaca-py's messages do: binary fragments, the last one empty.
    data = text.encode()
    await socket.send([data[:len(data) // 2], data[len(data) // 2:]])


async def main() -> None:
    trust = ssl.create_default_context(cafile=plan["authority"]) if plan["authority"] else None
    if plan["certificate"]:
        trust.load_cert_chain(plan["certificate"], plan["key"])
    compression = "deflate" if plan["deflate"] else None
    try:
        # max_queue: with a bound it stops reading when nobody takes its messages, and so never sees the answer to its Close.
        socket = await websockets.connect(plan["url"], ssl=trust, compression=compression, max_size=None, max_queue=None,
                                          ping_interval=None, open_timeout=None, close_timeout=None)
    except websockets.exceptions.InvalidStatusCode as refused:
        return say(event="refused", status=refused.status_code)
    except (OSError, websockets.exceptions.InvalidHandshake) as failed:
        return say(event="error", text=str(failed.__cause__ or failed))
    say(event="open", extensions=", ".join(extension.name for extension in socket.extensions))
    if plan["ping"]:
        await (await socket.ping(plan["ping"]))
        say(event="pong", payload=plan["ping"])
    for text in plan["say_first"]:
        await send(socket, text)
    received = 0
    try:
        while plan["messages"] == 0 or received != plan["messages"]:
            data = await socket.recv()
            binary = isinstance(data, bytes)
            text = data.decode() if binary else data
            say(event="message", data=text, binary=binary)
            received += 1
            for part, answer in plan["answers"]:
                if part in text:
                    await send(socket, answer)
        await socket.close(plan["close_code"], plan["close_reason"])
    except websockets.exceptions.ConnectionClosed:
        pass
    say(event="close", code=socket.close_code, reason=socket.close_reason)


asyncio.run(main())
