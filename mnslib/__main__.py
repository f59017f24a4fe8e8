"""`python -m mnslib` is the command `mns`, for where its script is not on the PATH."""

from mnslib.cli import main

if __name__ == "__main__":
    main()
