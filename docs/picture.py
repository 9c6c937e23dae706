"""Draws a run as an SVG: what the terminal showed, and the curves of metrics.jsonl.

    mpirun -np 2 dtrain configs/fashion-lenet.yaml >run.txt
    python3 docs/picture.py run.txt runs/fashion-lenet docs/run.svg
"""
import html
import json
import sys

WIDTH, LINE, PLOT = 1000, 18, 220


def polyline(points, color, width=1.5, opacity=1.0):
    path = " ".join("%.1f,%.1f" % p for p in points)
    return '<polyline fill="none" stroke="%s" stroke-width="%.1f" opacity="%.2f" points="%s"/>' % (color, width, opacity, path)


def text(x, y, words, color="#d0d7de", anchor="start", size=13):
    return '<text x="%d" y="%d" fill="%s" font-size="%d" text-anchor="%s" xml:space="preserve">%s</text>' % (
        x, y, color, size, anchor, html.escape(words))


def smooth(values, span):
    """Mean of the last `span` values."""
    return [sum(values[max(0, i - span + 1):i + 1]) / len(values[max(0, i - span + 1):i + 1]) for i in range(len(values))]


def chart(lines, top):
    train = [line for line in lines if line["kind"] == "train"]
    evals = [line for line in lines if line["kind"] == "eval"]
    left, right, bottom = 60, WIDTH - 60, top + PLOT - 30
    end = max(line["samples_seen"] for line in lines)
    x = lambda line: left + (right - left) * line["samples_seen"] / end
    loss_max = max(smooth([line["loss"] for line in train], 5)) * 1.05
    loss_y = lambda loss: bottom - (bottom - top - 10) * min(loss / loss_max, 1)
    low = min(line["accuracy"] for line in evals) - 0.02
    accuracy_y = lambda accuracy: bottom - (bottom - top - 10) * (accuracy - low) / (1 - low)
    parts = ['<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#57606a"/>' % (left, bottom, right, bottom)]
    parts.append(polyline([(x(line), loss_y(line["loss"])) for line in train], "#6cb6ff", 1, 0.35))
    means = smooth([line["loss"] for line in train], max(1, len(train) // 40))
    parts.append(polyline([(x(line), loss_y(mean)) for line, mean in zip(train, means)], "#6cb6ff", 2))
    parts.append(polyline([(x(line), accuracy_y(line["accuracy"])) for line in evals], "#8ddb8c", 2))
    for line in evals:
        parts.append('<circle cx="%.1f" cy="%.1f" r="3.5" fill="#8ddb8c"/>' % (x(line), accuracy_y(line["accuracy"])))
        parts.append(text(x(line), accuracy_y(line["accuracy"]) - 9, "%.1f" % (100 * line["accuracy"]), "#8ddb8c", "middle", 11))
    parts.append(text(left - 8, loss_y(loss_max) + 10, "%.1f" % loss_max, "#6cb6ff", "end", 11))
    parts.append(text(left - 8, bottom, "0", "#6cb6ff", "end", 11))
    parts.append(text(left, bottom + 20, "training loss", "#6cb6ff"))
    parts.append(text(left + 130, bottom + 20, "test accuracy, %", "#8ddb8c"))
    parts.append(text(right, bottom + 20, "{:,} samples".format(end), anchor="end"))
    return parts


def main():
    terminal, run, out = sys.argv[1:4]
    shown = [line.rstrip("\n") for line in open(terminal)]
    if len(shown) > 26:  # the middle of a long log says nothing new
        shown = shown[:12] + ["..."] + shown[-13:]
    lines = [json.loads(line) for line in open(run + "/metrics.jsonl")]
    height = 24 + LINE * len(shown) + PLOT + 20
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="ui-monospace, DejaVu Sans Mono, monospace">' %
             (WIDTH, height), '<rect width="%d" height="%d" rx="8" fill="#1c2128"/>' % (WIDTH, height)]
    for i, line in enumerate(shown):
        parts.append(text(16, 28 + LINE * i, line[:118]))
    parts += chart(lines, 24 + LINE * len(shown))
    with open(out, "w") as f:
        f.write("\n".join(parts + ["</svg>\n"]))


main()
