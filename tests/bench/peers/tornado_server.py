"""A hub on Tornado as its documentation writes one: a set of handlers per channel, and every one is
sent each publication.

GET /sub/NAME subscribes, POST /publish/NAME publishes its body. The argument is the interval of
pings in seconds.
"""

import asyncio
import sys
from collections import defaultdict

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

BACKLOG = 4096

channels = defaultdict(set)


class Subscribe(WebSocketHandler):
    def open(self, name):
        self.name = name
        channels[name].add(self)

    def on_message(self, message):
        pass

    def on_close(self):
        channels[self.name].discard(self)
        if not channels[self.name]:
            del channels[self.name]


class Publish(RequestHandler):
    def post(self, name):
        for client in channels.get(name, ()):
            try:
                client.write_message(self.request.body)
            except WebSocketClosedError:
                pass  # on_close comes


async def main(ping_seconds):
    application = Application(
        [("/sub/(.+)", Subscribe), ("/publish/(.+)", Publish)],
        websocket_ping_interval=float(ping_seconds),
        log_function=lambda handler: None,
    )
    sockets = bind_sockets(0, "127.0.0.1", backlog=BACKLOG)
    HTTPServer(application).add_sockets(sockets)
    print(f"listening {sockets[0].getsockname()[1]}", flush=True)
    await asyncio.Event().wait()


asyncio.run(main(sys.argv[1]))
