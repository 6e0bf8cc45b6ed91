"""Data of a report's page, as its scripts read them."""

import json
import re


def data_of(page):
    """Contents of a page: columns, maps, images."""
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)[1])


def files_of(images):
    """Addresses of an image's columns, image by image, None where there is no file."""
    return [[column.get(str(place)) for column in images["files"]] for place in range(len(images["names"]))]
