"""What all programs share: their parser, and errors as one line and an exit status."""

import argparse
import sys

from helpers import InputError


def new_parser(program, doc):
    """An argparse.ArgumentParser for ``python -m helpers.PROGRAM``, described by the first line of `doc`."""
    return argparse.ArgumentParser(prog=f"python -m helpers.{program}", description=doc.splitlines()[0])


def run_program(work, options, prefix="", failed=1, interrupted="interrupted"):
    """Do a program's work, and say in one line on stderr what went wrong.

    Parameters
    ----------
    work : callable (options) -> int or None
        None stands for 0.
    options : argparse.Namespace
    prefix : str
        Before an error's line.
    failed : int
        Exit status after an InputError.
    interrupted : str
        What is said after Ctrl-C, which ends with status 130.

    Returns
    -------
    int
        The exit status.
    """
    try:
        return work(options) or 0
    except InputError as error:
        print(f"{prefix}{error}", file=sys.stderr)
        return failed
    except KeyboardInterrupt:
        print(f"{prefix}{interrupted}", file=sys.stderr)
        return 130
