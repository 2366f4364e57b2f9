"""``python -m postledger``: the command line."""

from postledger.cli import main

if __name__ == "__main__":
    main()
