"""The page of a report: what it shows of an image, what it shows first, what one file embeds, its local server."""
