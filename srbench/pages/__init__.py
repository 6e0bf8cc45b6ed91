"""Local web pages: their server, fragments, Markdown and plots."""
