"""One page of HTML with all figures inside, that needs nothing from elsewhere."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from training.visualise.figures import Figure

STYLE = """
:root { color-scheme: light; font: 16px/1.5 system-ui, sans-serif; color: #1c1c1c; background: #fff }
body { max-width: 66rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.5rem }
figure { margin: 1rem 0; overflow-x: auto } img { max-width: 100%; height: auto }
figcaption, nav { color: #505050; font-size: .9rem } nav a { margin-right: 1rem }
"""


@dataclass(frozen=True)
class Section:
    """A part of the page with its figures."""

    title: str
    about: str
    figures: Sequence[Figure]


def page(name: str, source: str, sections: Sequence[Section]) -> str:
    """The page about a version of that name, which was shown images of that source."""
    links = "".join(f'<a href="#{_anchor(one)}">{escape(one.title)}</a>' for one in sections)
    body = "".join(map(_section, sections))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(name)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n'
        f"<body><h1>What {escape(name)} has learned</h1><p>{escape(source)}</p><nav>{links}</nav>\n"
        f"{body}</body></html>\n"
    )


def _section(section: Section) -> str:
    figures = "".join(map(_figure, section.figures))
    return (
        f'<section id="{_anchor(section)}"><h2>{escape(section.title)}</h2><p>{escape(section.about)}</p>'
        f"{figures}</section>\n"
    )


def _figure(figure: Figure) -> str:
    data, caption = base64.b64encode(figure.png).decode(), escape(figure.caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}"><figcaption>{caption}</figcaption></figure>'
    )


def _anchor(section: Section) -> str:
    return section.title.lower().replace(" ", "-")
