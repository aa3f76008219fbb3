"""What a reader of a picture sees where: words over words, off the page, or over data."""

import matplotlib


def words(figure):
    """Every text that a reader sees, with its box in pixels."""
    figure.canvas.draw()
    seen = [text for ax in figure.findobj(matplotlib.axes.Axes) for text in in_axes(ax)]
    return [
        (each.get_text(), each.get_window_extent())
        for each in seen
        if each.get_visible() and each.get_text().strip()
    ]


def in_axes(ax):
    """Texts of axes; marks that lie outside their limits are kept by matplotlib and not drawn."""
    found = [*ax.texts, ax.title, ax._left_title, ax._right_title]
    found += ax.get_legend().get_texts() if ax.get_legend() else []
    if not ax.axison:
        return found
    for axis in (ax.xaxis, ax.yaxis):
        low, high = sorted(axis.get_view_interval())
        slack = 1e-9 * (high - low)
        found += [axis.label]
        found += [
            tick.label1 for tick in axis.get_major_ticks() if low - slack <= tick.get_loc() <= high + slack
        ]
    return found


def overprinted(figure):
    """Pairs of words whose boxes meet, and words that leave the page."""
    seen, page = words(figure), figure.bbox
    pairs = [
        (one, other)
        for i, (one, box) in enumerate(seen)
        for other, another in seen[:i]
        if min(box.x1, another.x1) - max(box.x0, another.x0) > 1
        and min(box.y1, another.y1) - max(box.y0, another.y0) > 1
    ]
    out = [
        (text, "the page")
        for text, box in seen
        if box.x0 < page.x0 - 2 or box.x1 > page.x1 + 2 or box.y0 < page.y0 - 2 or box.y1 > page.y1 + 2
    ]
    return pairs + out


def covered(figure):
    """Legends that lie over the axes in which something is drawn."""
    figure.canvas.draw()
    return [
        ax.get_xlabel()
        for ax in figure.findobj(matplotlib.axes.Axes)
        if ax.get_legend() is not None
        and ax.get_legend().get_window_extent().overlaps(ax.get_window_extent().padded(-2))
    ]
