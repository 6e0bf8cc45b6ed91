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
        found = column["others"].get(str(place))
        is_ruled = any(first <= place < end for first, end in column["ranges"])
        return quote(f"{column['folder']}{name}{column['ending']}") if is_ruled else found

    return [[address(column, place, name) for column in images["files"]] for place, name in enumerate(images["names"])]
