"""pycompose: runs compose files on Linux without Docker. Imports nothing: every start would pay for it."""
