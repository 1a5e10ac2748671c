"""`python -m tta_service` is `tta-service`."""

from .cli import main

if __name__ == "__main__":
    main()
