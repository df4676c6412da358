// Draws a line between two days, behind the candles. Nights and weekends have no place on the axis:
// it has one for each candle.

const LEAST_PX = 28; // days that are narrower than this get no lines

export class SessionBreaks {
  constructor() {
    this.breaks = []; // pairs of times: the last candle of a day, the first of the next
    this.color = "#888";
    this.view = { zOrder: () => "bottom", renderer: () => this };
  }

  set(breaks) {
    this.breaks = breaks;
    this.update?.();
  }

  attached({ chart, requestUpdate }) {
    this.chart = chart;
    this.update = requestUpdate;
  }

  detached() {
    this.update = undefined;
  }

  paneViews() {
    return [this.view];
  }

  draw(target) {
    const scale = this.chart.timeScale();
    const visible = scale.getVisibleRange();
    if (visible === null) return;
    const shown = this.breaks.filter(([before, after]) => after >= visible.from && before <= visible.to);
    target.useBitmapCoordinateSpace(({ context, bitmapSize, horizontalPixelRatio }) => {
      if (shown.length * LEAST_PX > bitmapSize.width / horizontalPixelRatio) return;
      context.fillStyle = this.color;
      const width = Math.max(1, Math.floor(horizontalPixelRatio));
      for (const [before, after] of shown) {
        const left = scale.timeToCoordinate(before);
        const right = scale.timeToCoordinate(after);
        if (left === null || right === null) continue;
        const x = Math.round(((left + right) / 2) * horizontalPixelRatio);
        for (let y = 0; y < bitmapSize.height; y += 6 * width) context.fillRect(x, y, width, 3 * width);
      }
    });
  }
}
