"""The programs of the course: ``python -m helpers`` lists them, each with a line."""

import ast
import sys
from pathlib import Path

HERE = Path(__file__).parent


def programs():
    """Names and first lines of all modules that have a command line, a dict of str to str in their order."""
    found = {}
    for path in sorted(HERE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if path != Path(__file__) and 'if __name__ == "__main__":' in text:
            name = ".".join(path.relative_to(HERE.parent).with_suffix("").parts).removesuffix(".__main__")
            found[name] = ast.get_docstring(ast.parse(text)).splitlines()[0]
    return found


def main():
    """Print them; returns the exit status."""
    print("python -m NAME --help tells more of each:\n")
    width = max(map(len, programs()))
    for name, line in programs().items():
        print(f"{name:{width}}  {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
