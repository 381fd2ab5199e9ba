"""What the server answers."""

import unittest

from server import answer


class Answers(unittest.TestCase):
    """By path and by who asks."""

    def test_plain(self) -> None:
        """curl gets a line."""
        assert "make it right" in answer("/busy", "*/*")

    def test_page(self) -> None:
        """A browser gets a page."""
        assert answer("/", "text/html").startswith("<!doctype html>")
