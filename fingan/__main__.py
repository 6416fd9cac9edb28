"""`python -m fingan` is the command `fingan`."""

from fingan.cli import main

if __name__ == "__main__":
    main()
