"""What a batch run shows at its end: the results table and the index of the executed notebooks."""

import html
import json
from pathlib import Path
from string import Template

from helpers.files import atomic_write


def markdown_table(rows):
    """A table in Markdown of rows of text, the first its head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def results_table(path):
    """The figures of ``metrics.json`` as text: a row per system, a block per corpus.

    Parameters
    ----------
    path : Path
        One object per system, with the keys of the contract for batch runs; a missing figure shows as a dash.

    Returns
    -------
    str
        Empty when there is no such file.
    """
    try:
        systems = json.loads(path.read_text())
        corpora = sorted({row["corpus"] for row in systems.values()})
        return "\n\n".join(_corpus_table(corpus, systems) for corpus in corpora)
    except FileNotFoundError:
        return ""
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return f"{path.name} cannot be read ({type(error).__name__}: {error})"


def _corpus_table(corpus, systems):
    """The systems' rows on one corpus, under its name: results on two corpora are never in one table."""

    def figure(row, key, form, unit=""):
        return "-" if row.get(key) is None else format(row[key], form) + unit

    def rate(row, key):
        interval = row.get(f"{key}_ci")
        return figure(row, key, ".1%", f" [{interval[0]:.1%}, {interval[1]:.1%}]" if interval else "")

    head = ("system", "accuracy", "EER", "AUC", "minDCF", "EER, 5 enrolled", "training", "parameters")
    table, rows = [head], {name: row for name, row in systems.items() if row["corpus"] == corpus}
    for name, row in rows.items():
        cells = [name, rate(row, "accuracy"), rate(row, "eer"), figure(row, "roc_auc", ".3f")]
        cells += [figure(row, "min_dcf", ".3f"), rate(row, "eer_enrol5")]
        table.append([*cells, figure(row, "train_seconds", ".0f", " s"), figure(row, "parameters", ",d")])
    # Who of the known people is it? Only some systems answer that: the networks of 09, and 10.
    named = [row.get("top1", row.get("identification_accuracy")) for row in rows.values()]
    if any(share is not None for share in named):
        shares = ["-" if share is None else f"{share:.1%}" for share in named]
        table = [(*cells, share) for cells, share in zip(table, ["identified", *shares], strict=True)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    speakers = {row["speakers_test"] for row in rows.values() if "speakers_test" in row}
    title = corpus + "".join(f", {count} test speakers" for count in sorted(speakers))
    return "\n".join([title, *("  ".join(map(str.ljust, cells, widths)).rstrip() for cells in table)])


def write_index(out, rows):
    """``OUT/index.html``: the notebooks in order, and the results table.

    Parameters
    ----------
    out : Path
        Holds ``NN_slug.ipynb`` and ``html/NN_slug.html`` of every notebook that has ever succeeded there.
    rows : list of tuple
        File name without its ending, title, first sentence, seconds or None, state.
    """
    lines = ""
    for stem, title, sentence, seconds, state in rows:
        title, stem = html.escape(title), html.escape(stem)
        if (out / f"{stem}.ipynb").exists():
            title = f'<a href="html/{stem}.html">{title}</a> (<a href="{stem}.ipynb">notebook</a>)'
        time = "" if seconds is None else f"{seconds:.0f} s"
        cells = "</td><td>".join((title, html.escape(sentence), time, html.escape(state)))
        lines += f"<tr><td>{cells}</td></tr>\n"
    page = Template(Path(__file__).with_name("index.html").read_text(encoding="utf-8"))
    page = page.substitute(rows=lines, results=html.escape(results_table(out / "metrics.json")))
    with atomic_write(out / "index.html") as part:
        part.write_text(page, encoding="utf-8")
