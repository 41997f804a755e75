"""One HTML page: text, tables and pictures in a file that loads nothing from elsewhere."""

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1d2733; background: #fff;
       max-width: 1080px; margin: 2.5rem auto; padding: 0 1.5rem }
h1 { line-height: 1.2; margin-bottom: .4rem }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .4rem }
p, li { max-width: 75ch } .note, small { color: #5b6775 }
small { display: block; font-size: .8rem; font-weight: 400; line-height: 1.3 }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .35rem .7rem; border-bottom: 1px solid #d8dee6; text-align: right;
         vertical-align: top; font-variant-numeric: tabular-nums }
th:first-child, td:first-child { text-align: left } thead th { border-bottom: 2px solid #1d2733 }
img { max-width: 100% }
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page(title: str, *parts: str) -> str:
    """The page; `parts` are HTML, the title is text."""
    return "\n".join(
        (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
            f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
            f"<style>{STYLE}</style></head>",
            f"<body><h1>{escape(title)}</h1>",
            *parts,
            "</body></html>\n",
        )
    )


def section(title: str, note: str, content: str) -> str:
    """A heading and a sentence, both text, over HTML."""
    return f'<h2>{escape(title)}</h2><p class="note">{escape(note)}</p>{content}'


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """All cells are text."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def picture(figure: Any, alt: str) -> str:
    """A matplotlib figure as an `img` element that carries its PNG."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150, bbox_inches="tight")
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{data}">'
