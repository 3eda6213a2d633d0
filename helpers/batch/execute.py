"""Execute notebooks in place with default parameters, on the embedded corpus, for the committed outputs."""

import base64
import io
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat

from helpers import InputError, first_line
from helpers.command_line import new_parser, run_program
from helpers.files import atomic_write

PICTURE = r"(data:image/png;base64,)([A-Za-z0-9+/=]+)"  # in HTML, as `notebook.show_figure` writes it


def read_notebook(path):
    """A notebook as `nbformat.read` gives it; InputError in one line where the file is none."""
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, AttributeError, nbformat.ValidationError) as error:
        reason = getattr(error, "strerror", None) or first_line(type(error).__name__, error)
        raise InputError(f"not a valid notebook ({reason})", file=f"{path.name}:") from None


def execute(path, output=None, parameters=None):
    """Execute a notebook in its own folder with papermill, on the Python that runs this.

    Parameters
    ----------
    path : Path
    output : Path, optional
        The executed copy, written after each cell.
    parameters : dict, optional

    Returns
    -------
    nbformat.NotebookNode
        The executed notebook.
    """
    import papermill
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec

    # A kernelspec "python3" of the user's, in the home folder or on JUPYTER_PATH, may be another Python. The
    # kernel's own log, one line at its start and one when it is stopped, would go to our stderr.
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = KernelSpec(argv=[*command, "--IPKernelApp.log_level=CRITICAL"])

    class OwnKernel(AsyncKernelManager):
        kernel_spec = spec

    os.environ.pop("JPY_SESSION_NAME", None)  # set where a notebook's own cell started this
    # papermill fills {braces} in a path
    read, written = (str(name).replace("{", "{{").replace("}", "}}") for name in (path, output or ""))
    settings = {"cwd": str(path.parent), "kernel_manager_class": OwnKernel, "progress_bar": False}
    return papermill.execute_notebook(read, written or None, parameters, log_output=False, **settings)


def compress_png(png):
    """A picture, a PNG as base64 text, in 256 colours: a third of the size, and drawings do not need more."""
    from PIL import Image

    picture, smaller = Image.open(io.BytesIO(base64.b64decode(png))), io.BytesIO()
    if picture.mode == "P":
        return png
    picture.convert("RGB").quantize(dither=Image.Dither.NONE).save(smaller, "png", optimize=True)
    return min(png, base64.b64encode(smaller.getvalue()).decode(), key=len)


def clean_notebook(notebook):
    """Drop what differs from machine to machine: timings, paths, versions, widget states (in place).

    Pictures are made smaller, as a notebook is to stay below a megabyte.
    """
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        cell.metadata = {"tags": tags} if tags else {}
        if "hide-input" in tags:
            cell.metadata["jupyter"] = {"source_hidden": True}
        for data in (output.get("data", {}) for output in cell.get("outputs", [])):
            if "image/png" in data:
                data["image/png"] = compress_png(data["image/png"])
            if "text/html" in data:
                shown = "".join(data["text/html"])
                data["text/html"] = re.sub(PICTURE, lambda found: found[1] + compress_png(found[2]), shown)
    return notebook


def use_embedded_corpus(folder):
    """Point notebooks that are given no parameters at the embedded corpus and an output folder of their own.

    The outputs that are committed, and nbval's comparison with them, then depend on neither a reader's own
    ``data/`` nor an earlier run's ``results/``.
    """
    from helpers.data.synthesis import embedded_corpus

    os.environ |= {"SIAMESE_VOICES_DATA": str(embedded_corpus()), "SIAMESE_VOICES_OUT": str(folder)}
    os.environ.pop("JPY_SESSION_NAME", None)


def execute_in_place(options):
    """Execute notebooks on the embedded corpus and clean them, up to one that fails: it is left as it was.

    Raises
    ------
    InputError
        Naming the cell that failed, and its error; for a file that is no notebook, before any is executed.
    """
    from papermill.exceptions import PapermillExecutionError

    for path in options.notebooks:
        read_notebook(path)
    for path in options.notebooks:
        with tempfile.TemporaryDirectory() as folder:
            use_embedded_corpus(folder)
            try:
                notebook = execute(path.resolve())
            except PapermillExecutionError as error:
                raise InputError(f"{path}, In [{error.exec_count}]: {error.ename}: {error.evalue}") from None
        with atomic_write(path) as part:
            nbformat.write(clean_notebook(notebook), part)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def main(arguments=None):
    """The command line; ends at the first notebook that fails, with status 1."""
    parser = new_parser("batch.execute", __doc__)
    parser.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
    return run_program(execute_in_place, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
