"""The page, on this machine alone: enrol a voice, verify a clip against it, find the nearest voices."""

from helpers.app.server import main

if __name__ == "__main__":
    raise SystemExit(main())
