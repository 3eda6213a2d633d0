"""The programs of the course: ``python -m helpers`` lists them, each with a line."""

import ast
from pathlib import Path


def programs():
    """Names and first lines of all modules that have a command line, a dict of str to str in their order."""
    found, package = {}, Path(__file__).parent
    for path in sorted(package.rglob("*.py")):
        text, module = path.read_text(encoding="utf-8"), path.relative_to(package.parent).with_suffix("")
        name = ".".join(module.parts).removesuffix(".__main__")
        if 'if __name__ == "__main__":' in text and path != Path(__file__):
            found[name] = ast.get_docstring(ast.parse(text)).splitlines()[0]
    return found


if __name__ == "__main__":
    print("python -m NAME --help describes one in full:\n")
    for name, line in programs().items():
        print(f"{name:32}  {line}")
