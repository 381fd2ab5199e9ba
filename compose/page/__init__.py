"""The web page of what runs, and the picture of it: what is shown, in which words and places, and who serves it."""
