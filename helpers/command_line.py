"""What all programs share: their parser, and errors as one line and an exit status."""

import argparse
import sys

from helpers import InputError


def new_parser(program, doc):
    """An argparse.ArgumentParser for ``python -m helpers.PROGRAM``, described by the first line of `doc`."""
    return argparse.ArgumentParser(prog=f"python -m helpers.{program}", description=doc.splitlines()[0])


def run_program(work, options, prefix="", failed=1, interrupted="interrupted", errors=InputError):
    """Do a program's work, and say in one line on stderr what went wrong.

    Parameters
    ----------
    work : callable (options) -> int, or None for 0
    options : argparse.Namespace
    prefix, interrupted : str
        What comes before an error's line, and what is said after Ctrl-C.
    failed : int
    errors : type or tuple of types
        Exceptions that are printed as one line.

    Returns
    -------
    int
        The exit status: `failed` after an error, 130 after Ctrl-C.
    """
    try:
        return work(options) or 0
    except errors as error:
        print(f"{prefix}{error}", file=sys.stderr)
        return failed
    except KeyboardInterrupt:
        print(f"{prefix}{interrupted}", file=sys.stderr)
        return 130
