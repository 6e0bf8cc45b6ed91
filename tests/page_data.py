"""Data of a report's page, as its scripts read them."""

import json
import re
from urllib.parse import quote


def data_of(page):
    """Contents of a page: columns, maps, images."""
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)[1])


def files_of(images):
    """Addresses of an image's columns, image by image, as contents.js makes them."""

    def address(column, place, name):
        if str(place) in column["others"] or column["pattern"] is None:
            return column["others"].get(str(place))
        return quote(name.join(column["pattern"]))

    return [[address(column, place, name) for column in images["files"]] for place, name in enumerate(images["names"])]
