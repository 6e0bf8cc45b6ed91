"""A client of the server of srbench explore, and an editor without a network."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit


def ask(address, method, path, body=None, **headers):
    """Status and content of an answer of the page's server."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc)
    connection.request(method, path, body, {"X-Srbench": "make"} | headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


class Editor:
    """Every sample is LR with larger pixels."""

    scale, temperature, identity = 4, 0.8, {}

    def sample(self, pair, temperature, samples, seed):
        larger = pair.lr.repeat_interleave(self.scale, -2).repeat_interleave(self.scale, -1)
        return larger[None].repeat(samples, 1, 1, 1)
