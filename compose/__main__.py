"""`python -m pycompose`."""

from pycompose.start import main

if __name__ == "__main__":
    raise SystemExit(main())
