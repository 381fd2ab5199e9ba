"""A library that makes pages."""

from html import escape


def page(title: str, text: str) -> str:
    """Return a page."""
    return f"<!doctype html><title>{escape(title)}</title><h1>{escape(title)}</h1><p>{escape(text)}</p>\n"
