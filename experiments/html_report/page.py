"""The HTML report: one file that holds all figures and needs no other."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from string import Template

import config
from experiments.html_report.figures import Drawn
from experiments.html_report.provenance import Provenance
from pipeline.files import write_text

TEMPLATE = Path(__file__).with_name("template.html")


@dataclass(frozen=True)
class Section:
    """What the report says of a stage.

    Attributes:
        name: its anchor, a word.
        heading, text: what the stage is.
        drawn: its figures.
        made: how its files were made; None where that is not known.
        left_out: why the stage has no figures; "" where it has.
    """

    name: str
    heading: str
    text: str
    drawn: Sequence[Drawn] = ()
    made: Provenance | None = None
    left_out: str = ""


@dataclass(frozen=True)
class Header:
    """The card at the top.

    Attributes:
        title: of the report.
        score, under: the score in large letters, with the spread after a ±, and what it was measured on.
        table: rows of text, the first one the names of the columns.
        facts: name -> text.
        commands: command lines.
        video: of the agent; None where there is none.
    """

    title: str
    score: str = ""
    under: str = ""
    table: Sequence[Sequence[str]] = ()
    facts: dict[str, str] = field(default_factory=dict)
    commands: Sequence[str] = ()
    video: Drawn | None = None


def write_report(header: Header, sections: Iterable[Section], path: Path, footer: str = "") -> None:
    """Write the header and a section for each stage, with its figures, into one HTML file."""
    sections = list(sections)
    links = "".join(f'<a href="#{escape(each.name)}">{escape(each.heading)}</a>' for each in sections)
    parts = {
        "title": escape(header.title),
        "header": header_element(header),
        "links": links,
        "sections": "\n".join(section_element(each, header.video) for each in sections),
        "footer": escape(footer),
    }
    write_text(path, Template(TEMPLATE.read_text(encoding="utf-8")).substitute(parts))


def header_element(header: Header) -> str:
    """The element of the card at the top."""
    mean, _, std = header.score.partition(" ± ")
    score = f'<p class="score">{escape(mean)} <small>± {escape(std)}</small></p>' if header.score else ""
    left = f'<h1>{escape(header.title)}</h1>{score}<p class="under">{escape(header.under)}</p>{table(header.table)}'
    left += definitions(header.facts)
    video = f"<div>{figure_element(header.video)}</div>" if header.video else ""
    return f'<header class="card"><div>{left}</div>{video}<div class="wide">{code(header.commands)}</div></header>'


def section_element(section: Section, header_video: Drawn | None) -> str:
    """The element of a stage: what it is and how it was made, beside its figures but that of the header."""
    about = f"<h2>{escape(section.heading)}</h2><p>{escape(section.text)}</p>"
    if section.made:
        about += definitions(section.made.settings)
    figures = "\n".join(figure_element(each) for each in section.drawn if each is not header_video)
    if section.left_out:
        figures = f'<div class="card left-out"><p>Left out: {escape(section.left_out)}</p></div>'
    name = escape(section.name)
    return f'<section id="{name}"><div class="about">{about}</div><div class="figures">{figures}</div></section>'


def figure_element(drawn: Drawn) -> str:
    """The element of a figure or video, with its content inside, or of one that was left out."""
    figure = drawn.figure
    name, title = escape(figure.name.replace(".", "-")), escape(figure.title)
    if drawn.left_out:
        reason = escape(drawn.left_out)
        return f'<div class="card left-out" id="{name}"><h3>{title}</h3><p>Left out: {reason}</p></div>'
    if drawn.svg:
        svg = drawn.svg.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
        media = f'<button type="button" class="enlarge" aria-label="Enlarge: {title}">{svg}</button>'
    else:
        content = base64.b64encode((config.REPORT_DIR / figure.name).read_bytes()).decode()
        poster = base64.b64encode(drawn.poster).decode()
        media = f'<video controls loop muted playsinline poster="data:image/jpeg;base64,{poster}" '
        media += f'aria-label="{title}" src="data:video/mp4;base64,{content}"></video>'
    caption = f'<figcaption><p>{escape(figure.caption)}</p><p class="good">{escape(figure.good)}</p></figcaption>'
    return f'<figure class="card" id="{name}"><h3>{title}</h3>{media}{caption}</figure>'


def table(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row names the columns."""
    lines = [
        "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row)
        for row, tag in zip(rows, ["th"] + ["td"] * len(rows), strict=False)
    ]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>" if lines else ""


def definitions(facts: dict[str, str]) -> str:
    """Names and texts, side by side."""
    names = {name: escape(name).replace("_", "_<wbr>") for name in facts}
    lines = "".join(f"<dt>{names[name]}</dt><dd>{escape(text)}</dd>" for name, text in facts.items())
    return f"<dl>{lines}</dl>" if lines else ""


def code(commands: Iterable[str]) -> str:
    """Command lines, which break between words alone: a browser would break "--flag" too."""
    lines = [" ".join(f"<span>{escape(word)}</span>" for word in command.split()) for command in commands]
    return f"<h2>Commands</h2><pre>{''.join(f'<code>{line}</code>' for line in lines)}</pre>" if lines else ""
