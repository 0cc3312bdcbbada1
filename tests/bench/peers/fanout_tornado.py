"""The fan-out as Tornado's documentation writes it: a handler that gathers with AsyncHTTPClient.

GET /feed?u=COUNT&l=MILLISECONDS&k=KEY asks COUNT upstreams at once and answers {"u1":...,"u2":...}.
"""

import asyncio
import json
import sys

from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

IMPLEMENTATIONS = {
    "curl": "tornado.curl_httpclient.CurlAsyncHTTPClient",
    "simple": "tornado.simple_httpclient.SimpleAsyncHTTPClient",
}


class Feed(RequestHandler):
    def initialize(self, upstream):
        self.upstream = upstream
        self.client = AsyncHTTPClient()

    async def get(self):
        count = int(self.get_argument("u"))
        latency, key = self.get_argument("l"), self.get_argument("k")
        url = f"{self.upstream}/json?size=200&latency={latency}ms&k={key}"
        names = range(1, count + 1)
        answers = await asyncio.gather(*(self.client.fetch(f"{url}&n={n}") for n in names))
        # A dictionary is written as JSON.
        self.write({f"u{n}": json.loads(answer.body) for n, answer in zip(names, answers)})

    def compute_etag(self):
        """No hash of the answer: nobody here asks for it."""
        return None


async def main(port, implementation, max_clients):
    # The default of 10 requests at one time would be the whole measurement.
    AsyncHTTPClient.configure(IMPLEMENTATIONS[implementation], max_clients=int(max_clients))
    sockets = bind_sockets(0, "127.0.0.1")
    routes = [("/feed", Feed, {"upstream": f"http://127.0.0.1:{port}"})]
    application = Application(routes, log_function=lambda handler: None)
    HTTPServer(application).add_sockets(sockets)
    print(f"listening {sockets[0].getsockname()[1]}", flush=True)
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
