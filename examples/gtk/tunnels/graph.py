# SPDX-License-Identifier: LGPL-2.1-or-later
"""The throughput of the last minute: received data above the line, sent data below it."""

import math

from gi.repository import Gdk, GLib, Graphene, Gtk, Pango

# The time that the graph shows, in microseconds.
SPAN = 60_000_000
# The graph ends this long before the current time, in microseconds: two samples, so that no line in it changes its
# shape later.
LATENCY = 1_100_000
UNITS = ("B/s", "kB/s", "MB/s", "GB/s", "TB/s")
SMALLEST_SCALE = 10_000
# How fast the scale adapts, in seconds.
SETTLING = 0.15


def nice_scale(rate):
    """Returns the smallest of 1, 2 and 5 times a power of ten that is not less than the rate."""
    power = 10 ** math.floor(math.log10(max(rate, SMALLEST_SCALE)))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rate)


def format_rate(rate):
    unit = 0
    while rate >= 999.5 and unit + 1 < len(UNITS):
        rate /= 1000
        unit += 1
    digits = 1 if unit and rate < 9.95 else 0
    return f"{rate:.{digits}f}".removesuffix(".0") + "\N{NO-BREAK SPACE}" + UNITS[unit]


def slopes(points):
    """Returns the slopes of a smooth line through the points that never exceeds them (Fritsch and Butland)."""
    steps = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in zip(points, points[1:])]
    inner = [2 * a * b / (a + b) if a * b > 0 else 0 for a, b in zip(steps, steps[1:])]
    return [0, *inner, 0]


class Graph(Gtk.Widget):
    __gtype_name__ = "TunnelsGraph"

    def __init__(self, **properties):
        super().__init__(accessible_role=Gtk.AccessibleRole.IMG, **properties)
        self.rates = ()
        self.scale = SMALLEST_SCALE
        self.drawn = 0
        self.ticking = 0
        self.description = ""

    def update(self, rates):
        """Sets the rates of a tunnel. This is called whenever one has been added."""
        self.rates = rates
        if rates:
            self.describe(f"Received {format_rate(rates[-1].received)}, sent {format_rate(rates[-1].sent)}")
        if self.is_moving() and not self.ticking:
            self.drawn = 0
            self.ticking = self.add_tick_callback(self.on_tick)

    def describe(self, text):
        # A screen reader announces the text each time that it is set.
        if text != self.description:
            self.description = text
            self.update_property([Gtk.AccessibleProperty.DESCRIPTION], [text])

    def is_empty(self):
        return not any(rate.received or rate.sent for rate in self.rates)

    def is_moving(self):
        return self.scale != self.target or not self.is_empty()

    @property
    def target(self):
        return nice_scale(max((max(rate.received, rate.sent) for rate in self.rates), default=0))

    def on_tick(self, _, clock):
        """Runs while something moves, and draws only as often as the change is visible."""
        now = clock.get_frame_time()
        if not self.get_mapped() or not self.is_moving():
            self.ticking = 0
            self.queue_draw()
            return GLib.SOURCE_REMOVE
        scaling = self.scale != self.target
        if scaling:
            self.approach(self.target, (now - self.drawn) / 1e6 if self.drawn else 0)
        half_a_pixel = SPAN / max(self.get_width(), 1) / self.get_scale_factor() / 2
        if scaling or now - self.drawn >= half_a_pixel:
            self.drawn = now
            self.queue_draw()
        return GLib.SOURCE_CONTINUE

    def approach(self, target, seconds):
        animated = self.get_settings().get_property("gtk-enable-animations")
        rest = (self.scale - target) * math.exp(-seconds / SETTLING) if animated else 0
        self.scale = target + rest if abs(rest) > target / 500 else target

    def do_snapshot(self, snapshot):
        text = self.get_style_context().get_color()
        faint = text.copy()
        faint.alpha *= 0.12
        text.alpha *= 0.6
        label = self.layout("0")
        line_height = label.get_pixel_size()[1]
        left = self.layout("500 MB/s").get_pixel_size()[0] + 8
        width, height = self.get_width() - left, self.get_height() - line_height - 4
        middle, half = height / 2, height / 2 - line_height / 2

        for y, rate in ((middle - half, self.scale), (middle, 0), (middle + half, self.scale)):
            self.write(snapshot, format_rate(rate) if rate else "0", left - 8, y - line_height / 2, 1, text)
            snapshot.append_color(faint, Graphene.Rect().init(left, round(y), width, 1))
        for moment, x, align in (("1 min", 0, 0), ("30 s", width / 2, 0.5), ("now", width, 1)):
            self.write(snapshot, moment, left + x, self.get_height() - line_height, align, text)

        if len(self.rates) > 1 and not self.is_empty():
            area = Graphene.Rect().init(left, 0, width, height)
            snapshot.push_clip(area)
            context = snapshot.append_cairo(area)
            for name, direction in (("received", -1), ("sent", 1)):
                self.draw_line(context, self.points(name, left, width, middle, direction * half), middle, name)
            snapshot.pop()

    def points(self, name, left, width, middle, height):
        end = self.get_frame_clock().get_frame_time() - LATENCY
        return [(left + width * (1 - (end - rate.time) / SPAN),
                 middle + height * min(getattr(rate, name) / self.scale, 1)) for rate in self.rates]

    def draw_line(self, context, points, middle, name):
        color = self.get_style_context().lookup_color(name + "_color")[1]
        context.move_to(*points[0])
        tangents = slopes(points)
        for (a, b), (m, n) in zip(zip(points, points[1:]), zip(tangents, tangents[1:])):
            third = (b[0] - a[0]) / 3
            context.curve_to(a[0] + third, a[1] + m * third, b[0] - third, b[1] - n * third, *b)
        line = context.copy_path()
        context.line_to(points[-1][0], middle)
        context.line_to(points[0][0], middle)
        context.set_source_rgba(color.red, color.green, color.blue, 0.2)
        context.fill()
        context.append_path(line)
        Gdk.cairo_set_source_rgba(context, color)
        context.set_line_width(2)
        context.stroke()

    def layout(self, text):
        layout = self.create_pango_layout(text)
        attributes = Pango.AttrList()
        attributes.insert(Pango.attr_scale_new(0.8))
        layout.set_attributes(attributes)
        return layout

    def write(self, snapshot, text, x, y, align, color):
        layout = self.layout(text)
        snapshot.save()
        snapshot.translate(Graphene.Point().init(round(x - align * layout.get_pixel_size()[0]), round(y)))
        snapshot.append_layout(layout, color)
        snapshot.restore()


Graph.set_css_name("throughput")
