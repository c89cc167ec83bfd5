"""One page of HTML that needs nothing from elsewhere, and the little HTML that its sections are made of. What comes
from outside goes through `text`."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

LONGEST, HINT = 80, 400  # letters of a name, and of the hint that has more of it

STYLE = """
:root { color-scheme: light dark; --text: light-dark(#1c1f24, #e9e9e4); --quiet: light-dark(#5b6068, #a4a9b3);
  --line: light-dark(#868c96, #7b828e); --faint: light-dark(#dcdfe4, #30353e); --accent: light-dark(#2350c8, #8fb0ff);
  --alert: light-dark(#8f2a00, #ffb08f); --paper: light-dark(#ffffff, #16181d); --page: light-dark(#f6f7f9, #0f1114) }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 1rem 0 0 } h2 { font-size: 1.25rem; margin: 0 0 .25rem }
h3 { font-size: 1rem; margin: 1.25rem 0 .5rem } p { margin: .25rem 0 .75rem; max-width: 46rem }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem; margin: .75rem 0 } a { color: var(--accent) }
section { background: var(--paper); border: 1px solid var(--faint); border-radius: .75rem; padding: 1rem 1.25rem;
  margin: 1rem 0 }
.quiet, figcaption { color: var(--quiet); font-size: .875rem } .alert { color: var(--alert) }
.notice { border-inline-start: .25rem solid var(--alert); padding-inline-start: .75rem }
.sums { display: flex; flex-wrap: wrap; gap: .5rem 2.5rem; margin: .75rem 0; padding: 0; list-style: none }
.sums b { display: block; font-size: 1.6rem; line-height: 1.2; font-variant-numeric: tabular-nums }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.25rem; margin: .5rem 0 }
dt { color: var(--quiet) } dd { margin: 0; overflow-wrap: anywhere }
.scroll { overflow-x: auto } table { border-collapse: collapse; margin: .5rem 0; font-variant-numeric: tabular-nums }
caption { text-align: start; color: var(--quiet); font-size: .875rem }
th, td { text-align: start; vertical-align: top; padding: .25rem 1rem .25rem 0; border-bottom: 1px solid var(--faint) }
th { font-weight: 600 } td.number, th.number { text-align: end } td { overflow-wrap: break-word }
figure { margin: 0 } img { display: block; background: #fff; border: 1px solid var(--line); border-radius: .25rem;
  image-rendering: pixelated }
.large { width: 10.5rem } .middle { width: 7rem } .small { width: 5rem }
.classes { display: grid; grid-template-columns: repeat(auto-fill, minmax(10.5rem, 1fr)); gap: 1.25rem 1rem;
  margin: 1rem 0 }
.classes img + img { margin-top: .25rem }
.legend { max-width: 26rem; margin: .75rem 0 } .legend img { width: 100%; height: .9rem; border-radius: 0 }
.legend div { display: flex; justify-content: space-between; gap: 1rem; font-size: .875rem }
.clusters { display: grid; grid-template-columns: repeat(auto-fill, minmax(25rem, 1fr)); gap: 1rem }
.cluster { display: flex; gap: .75rem } .cluster > figure { width: 7rem; flex: none } .cluster h3 { margin: 0 }
 .nearest { display: flex; gap: .5rem; margin-top: .25rem }
.nearest figure { width: 5rem } .nearest figcaption { font-size: .75rem; line-height: 1.3; overflow-wrap: anywhere }
.cases { display: grid; grid-template-columns: repeat(auto-fill, minmax(31rem, 1fr)); gap: 1rem; margin: 1rem 0 0;
  padding: 0; list-style: none }
.case { border-top: 1px solid var(--faint); padding-top: .75rem; display: grid; gap: .25rem .75rem;
  grid-template-columns: 7rem 7rem 1fr; align-items: start; align-content: start }
.tables { display: flex; flex-wrap: wrap; gap: .5rem 3rem; align-items: flex-start; margin-top: .75rem }
.case p { margin: 0 } .case .why { grid-column: 1 / -1; max-width: none; font-size: .875rem; line-height: 1.4 }
.case .facts { min-width: 0; overflow-wrap: anywhere } .answer { font-size: 1.25rem; font-weight: 600 }
.none { width: 7rem; aspect-ratio: 1; border: 1px dashed var(--line); border-radius: .25rem; display: grid;
  place-items: center; text-align: center; font-size: .8rem; color: var(--quiet) }
@media (max-width: 36rem) { .clusters, .cases { grid-template-columns: 1fr } .cluster { flex-wrap: wrap }
  .case { grid-template-columns: 7rem 7rem } .case .facts { grid-column: 1 / -1 } }
@media print { :root { color-scheme: light; font-size: 75% } body { max-width: none; padding: 0; background: #fff }
  nav { display: none } section { border: 0; padding: 0 } h2, h3 { break-after: avoid }
  .case, .cluster, .classes figure, tr { break-inside: avoid }
  img { print-color-adjust: exact } .cases { grid-template-columns: 1fr 1fr } }
"""


@dataclass(frozen=True)
class Section:
    """A part of the page; its body is HTML."""

    title: str
    body: str

    @property
    def anchor(self) -> str:
        return self.title.lower().replace(" ", "-")


def page(title: str, about: str, sections: Sequence[Section]) -> str:
    """The whole document; `about` is HTML. Nothing can be loaded or run by it but its own style and pictures."""
    style = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"
    links = "".join(f'<a href="#{text(one.anchor)}">{text(one.title)}</a>' for one in sections)
    body = "".join(
        f'<section id="{text(one.anchor)}"><h2>{text(one.title)}</h2>{one.body}</section>\n' for one in sections
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{text(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><header><h1>{text(title)}</h1>{about}</header><nav>{links}</nav>\n<main>{body}</main></body></html>\n"
    )


def text(words: object) -> str:
    """Words that can be put between tags and into attributes."""
    return escape(str(words), quote=True)


def name(words: str) -> str:
    """A name from outside, which may be long, and whose direction of writing must not spread."""
    if len(words) <= LONGEST:
        return f"<bdi>{text(words)}</bdi>"
    return f'<bdi title="{text(words[:HINT])}">{text(words[: LONGEST // 2])}…{text(words[-LONGEST // 2 :])}</bdi>'


def paragraph(words: str, kind: str = "") -> str:
    return f'<p class="{kind}">{text(words)}</p>' if kind else f"<p>{text(words)}</p>"


def image(url: str, alt: str, kind: str) -> str:
    return f'<img class="{kind}" src="{url}" alt="{text(alt)}">'


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> str:
    """Cells are HTML; the last so many columns are numbers."""
    kinds = [' class="number"' if at >= len(heads) - numbers else "" for at in range(len(heads))]
    head = "".join(f'<th scope="col"{kind}>{text(one)}</th>' for one, kind in zip(heads, kinds, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{one}</td>" for one, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><caption>{text(caption)}</caption><tr>{head}</tr>{body}</table></div>'
