"""Run the notebooks in order, without a person: ``python -m helpers.batch --data DIR --out DIR``."""

from helpers.batch.run import main

if __name__ == "__main__":
    raise SystemExit(main())
