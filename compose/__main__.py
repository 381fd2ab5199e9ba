"""`python -m pycompose`."""

from pycompose.entry import main

if __name__ == "__main__":
    raise SystemExit(main())
