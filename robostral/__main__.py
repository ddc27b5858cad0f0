"""`python -m robostral` is the console script."""

from robostral.cli import main

if __name__ == "__main__":
    main()
