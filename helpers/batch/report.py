"""What a batch run shows at its end: the results table and the index of the executed notebooks."""

import html
import json

from helpers.files import atomic_write


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
        return "\n\n".join(
            corpus_table(corpus, {name: row for name, row in systems.items() if row["corpus"] == corpus})
            for corpus in sorted({row["corpus"] for row in systems.values()})
        )
    except FileNotFoundError:
        return ""
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return f"{path.name} cannot be read ({type(error).__name__}: {error})"


def corpus_table(corpus, systems):
    """The systems' rows on one corpus, under its name: results on two corpora are never in one table."""

    def percent(row, key):
        if row.get(key) is None:
            return "-"
        interval = row.get(f"{key}_ci")
        return f"{row[key]:.1%}" + (f" [{interval[0]:.1%}, {interval[1]:.1%}]" if interval else "")

    def number(row, key, form, unit=""):
        return "-" if row.get(key) is None else format(row[key], form) + unit

    table = [("system", "accuracy", "EER", "AUC", "minDCF", "EER, 5 enrolled", "training", "parameters")]
    for name, row in systems.items():
        table.append(
            (
                name,
                percent(row, "accuracy"),
                percent(row, "eer"),
                number(row, "roc_auc", ".3f"),
                number(row, "min_dcf", ".3f"),
                percent(row, "eer_enrol5"),
                number(row, "train_seconds", ".0f", " s"),
                number(row, "parameters", ",d"),
            )
        )
    # Who of the known people is it? Only some systems answer that: the networks of 08, and 09.
    named = [row.get("top1", row.get("identification_accuracy")) for row in systems.values()]
    if any(share is not None for share in named):
        shares = ["-" if share is None else f"{share:.1%}" for share in named]
        table = [(*cells, share) for cells, share in zip(table, ["identified", *shares], strict=True)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    speakers = {row["speakers_test"] for row in systems.values() if "speakers_test" in row}
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
    lines = []
    for stem, title, sentence, seconds, state in rows:
        title, stem = html.escape(title), html.escape(stem)
        if (out / f"{stem}.ipynb").exists():
            title = f'<a href="html/{stem}.html">{title}</a> (<a href="{stem}.ipynb">notebook</a>)'
        cells = (
            title,
            html.escape(sentence),
            "" if seconds is None else f"{seconds:.0f} s",
            html.escape(state),
        )
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    page = f"""<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>Executed notebooks</title>
<style>body {{font: 16px sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em}}
table {{border-collapse: collapse}}
td {{padding: .4em .8em; vertical-align: top}} tr:nth-child(even) {{background: #f3f3f3}}
td:nth-child(3) {{white-space: nowrap}}
pre {{overflow-x: auto}}</style>
<h1>Executed notebooks</h1>
<table>
{"".join(f"{line}{chr(10)}" for line in lines)}</table>
<pre>{html.escape(results_table(out / "metrics.json"))}</pre>
</html>
"""
    with atomic_write(out / "index.html") as part:
        part.write_text(page, encoding="utf-8")
