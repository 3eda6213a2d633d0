"""What every notebook needs: its parameters checked, its output folder, a figure shown and saved.

Its import brings in Keras quietly where a notebook runs, so it stands first in all of them.
"""

import ast
import base64
import html
import io
import logging
import os
from contextlib import suppress
from pathlib import Path

from IPython import get_ipython
from IPython.display import display

from helpers import PROJECT, InputError, check_values, writable_folder
from helpers.files import atomic_write


def import_keras():
    """Import Keras and its backend without the lines that TensorFlow logs.

    Its native code logs a few before any of its settings count, ``TF_CPP_MIN_LOG_LEVEL`` included, and
    papermill would store them in every notebook. An import that fails still raises its exception.
    """
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as null:
            os.dup2(null.fileno(), 2)
        import keras  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # no advice about retracing


if get_ipython() is not None:
    import_keras()


def assigned_values(source):
    """What a cell assigns at its top level, in order: the parameters, in a ``parameters`` cell.

    Parameters
    ----------
    source : str
        Python source of one cell.

    Returns
    -------
    dict of str to object
        Names and values, None for a value that is computed; empty when the source is not plain Python.
    """
    found, statements = {}, []
    with suppress(SyntaxError):
        statements = ast.parse(source).body
    for statement in statements:
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = getattr(statement, "targets", None) or [statement.target]
            value = None
            with suppress(ValueError):
                value = ast.literal_eval(statement.value)
            found |= {target.id: value for target in targets if isinstance(target, ast.Name)}
    return found


def check_parameters(*conditions):
    """Refuse a bad parameter before anything is computed; called right after the ``parameters`` cell.

    papermill assigns what it is given in a cell of its own, which starts with ``# Parameters``, and only
    warns when the notebook knows no such name. Without that cell, as in JupyterLab and under nbval, only the
    conditions are checked.

    Parameters
    ----------
    *conditions : str
        What has to hold, as for `helpers.check_values`: ``"epochs >= 1"``.

    Raises
    ------
    InputError
        Naming the parameters that do not exist and those that do; or a value that is of another kind than the
        notebook's own, or for which a condition does not hold.
    """
    shell = get_ipython()
    history = shell.history_manager.input_hist_parsed if shell else []
    given, known = {}, {}
    for source in history:
        (given if source.startswith("# Parameters\n") else known).update(assigned_values(source))
    unknown = [name for name in given if name not in known]
    if unknown:
        known = ", ".join(known) or "none"
        raise InputError(f"no parameter {', '.join(unknown)} in this notebook; it has {known}")
    values = {name: shell.user_ns[name] for name in known if name in shell.user_ns} if shell else {}
    check_values(values, {name: known[name] for name in given}, conditions)


def is_interactive():
    """Whether a person is looking, so that progress bars and widgets are wanted.

    Jupyter's server names its session in the environment of the kernels it starts, and VS Code the notebook's
    file in the kernel's own variables; papermill, nbval and nbconvert do neither.
    """
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
    named = out or os.environ.get("SIAMESE_VOICES_OUT") or writable_folder(PROJECT / "results")
    folder = Path(os.path.expanduser(named)).resolve()
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
    with atomic_write(path) as part:
        figure.savefig(part, dpi=120, bbox_inches="tight", metadata={"Software": None})
    return path


def show_figure(figure, description):
    """Show a figure, and say what it shows to people who cannot see it; the figure is then closed.

    It is shown as an HTML image: JupyterLab and nbconvert give no alternative text to a PNG output.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    description : str
        The alternative text: what is drawn, and what it shows.
    """
    import matplotlib.pyplot as plt  # not needed to run notebooks in a batch

    file = io.BytesIO()
    figure.savefig(file, dpi=figure.dpi, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    picture = base64.b64encode(file.getvalue()).decode()
    image = f'<img alt="{html.escape(description)}" src="data:image/png;base64,{picture}">'
    display({"text/html": image, "text/plain": description}, raw=True)
