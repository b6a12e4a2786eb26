"""One page with all pictures, which opens in a browser and needs no other file."""

import base64
import html
from pathlib import Path

import config
from pipeline.files import atomic_write

Pictures = dict[str, str]  # file names in report/, and what they show

PAGE = """<!doctype html>
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


def figure_of(name: str, caption: str) -> str:
    """A picture or film as HTML that holds its bytes."""
    content = base64.b64encode((config.REPORT_DIR / name).read_bytes()).decode()
    if name.endswith(".mp4"):
        shown = f'<video controls loop muted src="data:video/mp4;base64,{content}"></video>'
    else:
        shown = f'<img alt="{html.escape(caption)}" src="data:image/png;base64,{content}">'
    return f"<figure>{shown}<figcaption>{html.escape(caption)}</figcaption></figure>"


def write_page(title: str, sections: dict[str, Pictures], path: Path) -> None:
    """Everything in one file."""
    body = []
    for name, pictures in sections.items():
        body += [f"<h2>{name}</h2>", *(figure_of(*picture) for picture in pictures.items())]
    with atomic_write(path) as part:
        part.write_text(PAGE.format(title=html.escape(title), body="\n".join(body)))
