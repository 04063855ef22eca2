"""The picture: a row for each kind of work, a dot for each contender at its multiple of the plain
directory's time, on a logarithmic scale. The SVG follows the reader's light or dark theme. Contenders
differ by shape and by colour."""
import math
from xml.sax.saxutils import escape

from report import machine_text

LEFT, WIDTH, ROW, RIGHT, LEGEND = 236, 580, 19, 24, 24
# One list for the light theme, one for the dark. The first colour is overlayfs's, the next are
# those of tierfs.
COLOURS = (("#57606a", "#adbac7"), ("#cf222e", "#ff7b72"), ("#bf5700", "#ffa657"), ("#99286e", "#ff9bce"), ("#0550ae", "#58a6ff"),
           ("#1a7f37", "#56d364"), ("#8250df", "#bc8cff"), ("#0a7d7d", "#39c5cf"), ("#7d4e00", "#d29922"))


def shape(kind, x, y, css, size=1.0):
    if kind == 0:
        return f'<circle class="{css}" cx="{x:.1f}" cy="{y:.1f}" r="{4.6 * size:.1f}"/>'
    points = {
        1: [(-4, -4), (4, -4), (4, 4), (-4, 4)],
        2: [(0, -5), (4.5, 4), (-4.5, 4)],
        3: [(0, -5), (5, 0), (0, 5), (-5, 0)],
    }[kind]
    placed = " ".join(f"{x + dx * size:.1f},{y + dy * size:.1f}" for dx, dy in points)
    return f'<polygon class="{css}" points="{placed}"/>'


def style(count):
    light = "".join(f".c{i}{{fill:{COLOURS[i % len(COLOURS)][0]}}}" for i in range(count))
    dark = "".join(f".c{i}{{fill:{COLOURS[i % len(COLOURS)][1]}}}" for i in range(count))
    return ("text{font:12px sans-serif;fill:#24292f}.small{font-size:10.5px;fill:#57606a}.grid{stroke:#d0d7de;stroke-width:1}"
            ".one{stroke:#57606a;stroke-width:1.5}.band{fill:#818b98;fill-opacity:.09}" + light +
            "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9198a1}.grid{stroke:#3d444d}.one{stroke:#9198a1}" +
            dark + "}")


def draw(workloads, contenders, results, facts):
    rows = [row for workload in workloads if workload.base == "plain" for row in workload.rows]
    shown = [one for one in contenders if one.group == "all" and one.name != "plain"]
    values = {(row.name, one.name): results.ratio(row.name, one.name, "plain") for row in rows for one in shown}
    known = [value for value in values.values() if value]
    low = min([0.5] + [10 ** (math.floor(math.log10(value) * 5) / 5) for value in known])
    high = max([10] + known) * 1.15

    def at(value):
        return LEFT + WIDTH * (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))

    columns = 4
    top = 46 + LEGEND * math.ceil(len(shown) / columns)
    height = top + ROW * len(rows) + 44
    width = LEFT + WIDTH + RIGHT
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
           "<title>Time as a multiple of the plain directory's, for each kind of work and file system</title>",
           f"<style>{style(len(shown))}</style>",
           '<text x="8" y="20">Time as a multiple of the plain directory\'s: further left is faster, 1 is the disk itself</text>']
    for i, one in enumerate(shown):
        x, y = 16 + (width - 16) / columns * (i % columns), 44 + LEGEND * (i // columns)
        out += [shape(i % 4, x, y - 4, f"c{i}"), f'<text x="{x + 12:.0f}" y="{y}">{escape(one.label)}</text>']
    for i, row in enumerate(rows):
        y = top + ROW * i
        if i % 2 == 0:
            out.append(f'<rect class="band" x="0" y="{y}" width="{width}" height="{ROW}"/>')
    bottom = top + ROW * len(rows)
    for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000):
        if low <= tick <= high:
            out += [f'<line class="{"one" if tick == 1 else "grid"}" x1="{at(tick):.1f}" y1="{top}" x2="{at(tick):.1f}" y2="{bottom}"/>',
                    f'<text class="small" x="{at(tick):.1f}" y="{bottom + 14}" text-anchor="middle">{tick:g}</text>']
    for i, row in enumerate(rows):
        y = top + ROW * i + ROW / 2
        out.append(f'<text x="{LEFT - 10}" y="{y + 4:.1f}" text-anchor="end" data-row="{row.name}">{escape(row.title)}</text>')
        for j, one in reversed(list(enumerate(shown))):  # tierfs is drawn on top
            if values[row.name, one.name]:
                out.append(shape(j % 4, at(values[row.name, one.name]), y, f"c{j}", 1.3 if one.name == "tierfs" else 1.0))
    out += [f'<text class="small" x="8" y="{bottom + 34}">{escape(machine_text(facts))}</text>', "</svg>"]
    return "\n".join(out) + "\n"
