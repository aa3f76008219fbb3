"""`python -m hte_bridge` is `hte-bridge`."""

from hte_bridge.cli import main

if __name__ == "__main__":
    main()
