"""A library that knows a quote for every mood."""

QUOTES = {
    "busy": "Make it work, make it right, make it fast.",
    "calm": "Simplicity is prerequisite for reliability.",
    "curious": "The purpose of computing is insight, not numbers.",
}


def quote(mood: str) -> str:
    """Return a quote, a calm one for a mood that nobody knows."""
    return QUOTES.get(mood, QUOTES["calm"])
