"""The HTML report: one file that holds all figures and needs no other."""

import base64
import html
from pathlib import Path

import config
from pipeline.files import write_text

Figures = dict[str, str]  # file names in report/ -> captions

TEMPLATE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 70rem; margin: auto; padding: 1rem; color: #222; }}
figure {{ margin: 0 0 2rem; }} img, video {{ width: 100%; height: auto; }}
</style>
<h1>{title}</h1>
{body}
</html>
"""


def figure_element(name: str, caption: str) -> str:
    """The HTML element of a figure or video of report/, with its bytes inside."""
    content = base64.b64encode((config.REPORT_DIR / name).read_bytes()).decode()
    if name.endswith(".mp4"):
        media = f'<video controls loop muted src="data:video/mp4;base64,{content}"></video>'
    else:
        media = f'<img alt="{html.escape(caption)}" src="data:image/png;base64,{content}">'
    return f"<figure>{media}<figcaption>{html.escape(caption)}</figcaption></figure>"


def write_report(title: str, sections: dict[str, Figures], path: Path) -> None:
    """Write a section for each stage, with its figures, into one HTML file."""
    body = []
    for name, figures in sections.items():
        body += [f"<h2>{name}</h2>", *(figure_element(*figure) for figure in figures.items())]
    write_text(path, TEMPLATE.format(title=html.escape(title), body="\n".join(body)))
