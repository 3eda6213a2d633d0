"""What every notebook needs: its parameters checked, its output folder, a figure saved.

``python -m helpers.notebook NOTEBOOK ...`` executes notebooks in place with their default parameters, on the
embedded corpus, and cleans their metadata: this makes the outputs that are committed.
"""

import ast
import base64
import importlib.abc
import importlib.util
import io
import logging
import os
import sys
import tempfile
from pathlib import Path

from helpers import PROJECT, InputError, replacing


class QuietTensorFlow(importlib.abc.MetaPathFinder):
    """Import TensorFlow, whoever asks for it, with the process's stderr closed off.

    Its native code logs a few lines before any of its settings count, ``TF_CPP_MIN_LOG_LEVEL`` included, and
    papermill would store them in every notebook. An import that fails still raises its exception.
    """

    def find_spec(self, name, path=None, target=None):
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec:
            spec.loader.exec_module = self.quietly(spec.loader.exec_module)
        return spec

    @staticmethod
    def quietly(load):
        def exec_module(module):
            stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
            try:
                load(module)
                logging.getLogger("tensorflow").setLevel(logging.ERROR)  # no advice about retracing
            finally:
                os.dup2(stderr, 2)
                os.close(stderr)
                os.close(null)

        return exec_module


sys.meta_path.insert(0, QuietTensorFlow())


def assigned_names(source):
    """Names that a cell assigns at its top level, in order: the parameters, in a ``parameters`` cell.

    Parameters
    ----------
    source : str
        Python source of one cell.

    Returns
    -------
    list of str
        Each name once; empty when the source is not plain Python.
    """
    try:
        statements = ast.parse(source).body
    except SyntaxError:
        return []
    targets = []
    for statement in statements:
        if isinstance(statement, ast.Assign):
            targets += statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets.append(statement.target)
    return list(dict.fromkeys(target.id for target in targets if isinstance(target, ast.Name)))


def check_parameters():
    """Refuse a parameter that the notebook does not have; called right after its ``parameters`` cell.

    papermill assigns whatever it is given in a cell of its own, which starts with ``# Parameters``, and only
    warns when the notebook knows no such name. Without that cell, as in JupyterLab and under nbval, there is
    nothing to check.

    Raises
    ------
    InputError
        Naming the parameters that do not exist and those that do.
    """
    from IPython import get_ipython

    shell = get_ipython()
    history = shell.history_manager.input_hist_parsed if shell else []
    given, known = {}, {}
    for source in history:
        names = dict.fromkeys(assigned_names(source))
        (given if source.startswith("# Parameters\n") else known).update(names)
    unknown = [name for name in given if name not in known]
    if unknown:
        known = ", ".join(known) or "none"
        raise InputError(f"no parameter {', '.join(unknown)} in this notebook; it has {known}")


def watched():
    """Whether a person is looking, so that progress bars and widgets are wanted.

    Jupyter's server names its session in the environment of the kernels it starts, and VS Code the notebook's
    file in the kernel's own variables; papermill, nbval and nbconvert do neither.
    """
    from IPython import get_ipython

    shell = get_ipython()
    return "JPY_SESSION_NAME" in os.environ or (shell is not None and "__vsc_ipynb_file__" in shell.user_ns)


def output_folder(out=""):
    """Where a notebook writes: `out`, else the environment's ``SIAMESE_VOICES_OUT``, else ``results``.

    Parameters
    ----------
    out : str or Path
        A folder; made when missing.

    Returns
    -------
    Path
        The folder, absolute.

    Raises
    ------
    InputError
        If it is no folder and cannot be made.
    """
    folder = Path(out or os.environ.get("SIAMESE_VOICES_OUT") or PROJECT / "results").expanduser().resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out or folder}: {error.strerror}; a folder to write to is expected") from None
    return folder


def save_figure(figure, out, name):
    """Save a figure as ``figures/NAME.png`` in the output folder; the same figure gives the same bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    out : str or Path
        As for `output_folder`.
    name : str
        File name without its ending.

    Returns
    -------
    Path
        The file.
    """
    path = output_folder(out) / "figures" / f"{name}.png"
    with replacing(path) as part:
        figure.savefig(part, dpi=120, bbox_inches="tight", metadata={"Software": None})
    return path


def execute(path, output=None, parameters=None):
    """Execute a notebook in its own folder with papermill, on the Python that runs this.

    Parameters
    ----------
    path : Path
        The notebook; it is not changed.
    output : Path, optional
        The executed copy, written after each cell.
    parameters : dict, optional
        Values for the notebook's parameters.

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

    def literal(name):  # papermill fills {braces} in a path
        return str(name).replace("{", "{{").replace("}", "}}")

    return papermill.execute_notebook(
        literal(path),
        literal(output) if output else None,
        parameters,
        cwd=str(path.parent),
        kernel_manager_class=OwnKernel,
        progress_bar=False,
        log_output=False,
    )


def lighter(png):
    """A picture, a PNG as base64 text, in 256 colours: a third of the size, and drawings do not need more."""
    from PIL import Image

    picture, smaller = Image.open(io.BytesIO(base64.b64decode(png))), io.BytesIO()
    if picture.mode == "P":
        return png
    picture.convert("RGB").quantize(dither=Image.Dither.NONE).save(smaller, "png", optimize=True)
    return min(png, base64.b64encode(smaller.getvalue()).decode(), key=len)


def clean(notebook):
    """Drop what differs from machine to machine: timings, paths, versions, widget states (in place).

    Pictures are made smaller, as a notebook is to stay below a megabyte.
    """
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
        for data in (output.get("data", {}) for output in cell.get("outputs", [])):
            if "image/png" in data:
                data["image/png"] = lighter(data["image/png"])
    return notebook


def embedded_inputs(folder):
    """Point notebooks that are given no parameters at the embedded corpus and an output folder of their own.

    The outputs that are committed, and nbval's comparison with them, then depend on neither a reader's own
    ``data/`` nor an earlier run's ``results/``.
    """
    from helpers.synthesis import embedded_corpus

    os.environ["SIAMESE_VOICES_DATA"] = str(embedded_corpus())
    os.environ["SIAMESE_VOICES_OUT"] = str(folder)
    os.environ.pop("JPY_SESSION_NAME", None)


def main(paths):
    """Execute each notebook in place, up to the first that fails, which is left as it was."""
    import nbformat
    from papermill.exceptions import PapermillExecutionError

    for path in map(Path, paths):
        with tempfile.TemporaryDirectory() as folder:
            embedded_inputs(folder)
            try:
                notebook = execute(path.resolve())
            except PapermillExecutionError as error:
                return f"{path}, In [{error.exec_count}]: {error.ename}: {error.evalue}"
        with replacing(path) as part:
            nbformat.write(clean(notebook), part)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
