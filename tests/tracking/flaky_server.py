"""A server that comes and goes: `python flaky_server.py PORT TARGET_PORT`, told on standard input open, shut or hang.

It is a door before a server that stays. To a client a shut one looks like a server that was killed, and one that hangs
like one that is stuck; but to open it costs nothing, where the start of a server takes seconds of a core.
"""

import asyncio
import contextlib
import sys


class Door:
    def __init__(self, port, target):
        self.port, self.target = port, target
        self.passing, self.writers, self.server = asyncio.Event(), set(), None

    async def obey(self, word):
        if word == "shut":
            if self.server:
                self.server.close()
                self.server = None
            for writer in list(self.writers):
                writer.transport.abort()
        elif not self.server:
            self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port)
        if word == "open":
            self.passing.set()
        else:
            self.passing.clear()

    async def serve(self, reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        await asyncio.gather(self.pass_on(reader, back), self.pass_on(there, writer))

    async def pass_on(self, reader, writer):
        self.writers.add(writer)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                await self.passing.wait()
                writer.write(data)
                await writer.drain()
        self.writers.discard(writer)
        writer.close()


async def main():
    door = Door(*map(int, sys.argv[1:]))
    while line := await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        await door.obey(line.strip())


if __name__ == "__main__":
    asyncio.run(main())
