// The drawn chart: candles or a line, volume, the previous close, crosshair. Knows the library; what
// is drawn comes from candles.js.

import { chartTime, indianDay } from "./clock.js";
import { SessionBreaks } from "./session_breaks.js";

const BAR_PX = 6;
const RIGHT_BARS = 4;

export class Drawing {
  // root: where the chart is drawn. clock: ChartClock. formats: {price(number), volume(number)}.
  constructor(library, root, clock, formats) {
    this.library = library;
    this.root = root;
    this.clock = clock;
    this.formats = formats;
    this.kind = "";
    this.rows = [];
    this.isDaily = false;
    this.isKeyed = false; // whether keys put the crosshair where it is
    this.breaks = new SessionBreaks();
    this.chart = library.createChart(root, {
      autoSize: true,
      // The product is named, with a link, below the chart: the logo would bring a <style> element,
      // which the page's policy forbids.
      layout: { attributionLogo: false, fontSize: 12 },
      grid: { vertLines: { visible: false } },
      crosshair: { mode: library.CrosshairMode.Normal },
      rightPriceScale: { borderVisible: false },
      timeScale: {
        borderVisible: false,
        rightOffset: RIGHT_BARS,
        minBarSpacing: 1,
        tickMarkFormatter: (time, kind) => clock.mark(time, this.isDaily && kind > 2 ? 2 : kind),
      },
      localization: { timeFormatter: (time) => clock.moment(time, this.isDaily) },
      // A finger that moves up and down scrolls the page.
      handleScroll: { vertTouchDrag: false },
      kineticScroll: { touch: !matchMedia("(prefers-reduced-motion: reduce)").matches },
    });
    this.volume = this.chart.addSeries(library.HistogramSeries, {
      priceScaleId: "volume",
      priceFormat: { type: "custom", minMove: 1, formatter: formats.volume },
      lastValueVisible: false,
      priceLineVisible: false,
    });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.setKind("candles");
  }

  // Calls a handler with the position of the candle under the crosshair, -1 for none. Keys move
  // the crosshair without: what the library says of that, and of the scrolling, comes late.
  onCrosshair(handler) {
    this.chart.subscribeCrosshairMove(({ time, sourceEvent }) => {
      if (sourceEvent !== undefined) this.isKeyed = false;
      if (!this.isKeyed) handler(time === undefined ? -1 : this.positionOf(time));
    });
  }

  // Calls a handler when the first candles come into view.
  onBeginning(handler) {
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range !== null && range.from < 15) handler();
    });
  }

  setKind(kind) {
    if (kind === this.kind) return;
    this.kind = kind;
    if (this.series !== undefined) this.chart.removeSeries(this.series);
    const { CandlestickSeries, LineSeries } = this.library;
    this.series = this.chart.addSeries(kind === "line" ? LineSeries : CandlestickSeries, {
      priceFormat: { type: "custom", minMove: this.minMove ?? 0.01, formatter: this.formats.price },
    });
    this.series.attachPrimitive(this.breaks);
    this.closeLine = undefined;
    this.setColors();
    this.series.setData(this.rows.map((row) => this.bar(row)));
    this.setPreviousClose(this.previousClose);
  }

  setMinMove(minMove) {
    this.minMove = minMove;
    this.series.applyOptions({
      priceFormat: { type: "custom", minMove, formatter: this.formats.price },
    });
  }

  // Draws all candles; of another instrument or interval if `isNew`, which shows the newest.
  draw(candles, { interval, isNew }) {
    this.rows = candles.rows;
    this.isDaily = interval === "1d";
    this.series.setData(this.rows.map((row) => this.bar(row)));
    this.volume.setData(this.rows.map((row) => this.volumeBar(row)));
    const margins = candles.hasVolume ? { top: 0.08, bottom: 0.22 } : { top: 0.08, bottom: 0.08 };
    this.chart.priceScale("right").applyOptions({ scaleMargins: margins });
    this.chart.timeScale().applyOptions({ timeVisible: !this.isDaily });
    this.drawBreaks();
    if (isNew) this.showNewest();
  }

  // Draws the last candle, which changed or is new.
  drawLast(candles) {
    this.rows = candles.rows;
    this.series.update(this.bar(candles.last));
    this.volume.update(this.volumeBar(candles.last));
    const before = this.rows.at(-2);
    if (before && indianDay(before.start) !== indianDay(candles.last.start)) this.drawBreaks();
  }

  drawBreaks() {
    const breaks = [];
    for (let at = 1; at < this.rows.length && !this.isDaily; at += 1) {
      const [before, after] = [this.rows[at - 1].start, this.rows[at].start];
      if (indianDay(before) !== indianDay(after)) breaks.push([chartTime(before), chartTime(after)]);
    }
    this.breaks.set(breaks);
  }

  setPreviousClose(price, title = this.closeTitle) {
    this.previousClose = price;
    this.closeTitle = title;
    if (this.closeLine !== undefined) this.series.removePriceLine(this.closeLine);
    this.closeLine = undefined;
    if (!Number.isFinite(price)) return;
    this.closeLine = this.series.createPriceLine({
      price,
      title,
      color: this.colors.muted,
      lineWidth: 1,
      lineStyle: this.library.LineStyle.Dashed,
      axisLabelVisible: true,
    });
  }

  showNewest() {
    const last = this.rows.length - 1;
    const room = Math.min(150, Math.floor((this.root.clientWidth - 70) / BAR_PX));
    const bars = Math.max(30, Math.min(room, this.rows.length));
    this.chart.timeScale().setVisibleLogicalRange({ from: last - bars + 1, to: last + RIGHT_BARS });
  }

  // Takes the colours of the page, in dark and light.
  setColors() {
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name).trim();
    const colors = Object.fromEntries(
      ["surface", "text", "muted", "line", "accent", "up", "down"].map((name) => [name, color(`--${name}`)]),
    );
    this.colors = colors;
    this.breaks.color = colors.line;
    this.chart.applyOptions({
      layout: {
        background: { type: "solid", color: colors.surface },
        textColor: colors.muted,
        fontFamily: getComputedStyle(document.body).fontFamily,
      },
      grid: { horzLines: { color: colors.line } },
      crosshair: {
        vertLine: { color: colors.muted, labelBackgroundColor: colors.muted },
        horzLine: { color: colors.muted, labelBackgroundColor: colors.muted },
      },
    });
    this.series.applyOptions(
      this.kind === "line"
        ? { color: colors.accent, lineWidth: 2 }
        : {
            upColor: colors.up,
            downColor: colors.down,
            wickUpColor: colors.up,
            wickDownColor: colors.down,
            borderVisible: false,
          },
    );
    this.volume.setData(this.rows.map((row) => this.volumeBar(row)));
    if (this.closeLine !== undefined) this.closeLine.applyOptions({ color: colors.muted });
  }

  bar(row) {
    const time = chartTime(row.start);
    if (this.kind === "line") return { time, value: row.close };
    return { time, open: row.open, high: row.high, low: row.low, close: row.close };
  }

  volumeBar(row) {
    const time = chartTime(row.start);
    if (row.volume === null) return { time };
    const color = row.close < row.open ? this.colors.down : this.colors.up;
    return { time, value: row.volume, color: `${color}59` };
  }

  positionOf(time) {
    let [low, high] = [0, this.rows.length - 1];
    while (low <= high) {
      const middle = (low + high) >> 1;
      const at = chartTime(this.rows[middle].start);
      if (at === time) return middle;
      if (at < time) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  // Puts the crosshair on a candle and brings it into view.
  point(position) {
    this.isKeyed = true;
    const row = this.rows[position];
    const scale = this.chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (range !== null && (position < range.from + 1 || position > range.to - 1)) {
      const by = position < range.from + 1 ? position - range.from - 1 : position - range.to + 1;
      scale.setVisibleLogicalRange({ from: range.from + by, to: range.to + by });
    }
    this.chart.setCrosshairPosition(row.close, chartTime(row.start), this.series);
  }

  unpoint() {
    this.isKeyed = false;
    this.chart.clearCrosshairPosition();
  }

  // Shows more or fewer candles, with the right end where it is.
  zoom(factor) {
    const scale = this.chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (range === null) return;
    const bars = Math.max(10, (range.to - range.from) * factor);
    scale.setVisibleLogicalRange({ from: range.to - bars, to: range.to });
  }

  remove() {
    this.chart.remove();
  }
}
