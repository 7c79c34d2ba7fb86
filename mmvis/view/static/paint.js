// Masks and outlines on a canvas that lies over the picture and has its size, labels on one that has that of the screen.

/** '#rrggbb' with an opacity of 0 to 1, as ImageData holds it. */
function packed(color, opacity) {
  const value = parseInt(color.slice(1), 16);
  return ((Math.round(opacity * 255) << 24) | ((value & 255) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}

function paintSpans(pixels, width, spans, color) {
  for (let i = 0; i < spans.length; i += 3) {
    const end = spans[i + 2] * width + spans[i];
    for (let p = spans[i + 1] * width + spans[i]; p < end; p += width) pixels[p] = color;
  }
}

/** Pixels of the mask that are at most `thick` from its edge, to the left, right, above or below. */
function paintOutline(pixels, width, mask, inside, color, thick) {
  const {spans, left, right} = mask;
  for (let i = 0; i < spans.length; i += 3) {
    const x = spans[i], first = spans[i + 1], end = spans[i + 2];
    for (let y = first; y < end; y++) {
      const p = y * width + x;
      const isEdge = y - first < thick || end - 1 - y < thick || x - left < thick || right - 1 - x < thick
        || !isInside(pixels[p - thick], inside, color) || !isInside(pixels[p + thick], inside, color);
      if (isEdge) pixels[p] = color;
    }
  }
}

const isInside = (pixel, inside, color) => pixel === inside || pixel === color;

/** The layer of one pane. */
export class Layer {
  constructor(canvas, width, height) {
    canvas.width = width;
    canvas.height = height;
    Object.assign(this, {canvas, width, height, dirty: null});
    this.context = canvas.getContext('2d', {willReadFrequently: true});
    this.image = this.context.createImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  /** Draws items {mask, color, outlineOnly}, the first one lowest. */
  draw(items, opacity) {
    const {pixels, width, height} = this;
    const thick = Math.max(1, Math.round(Math.min(width, height) / 400));
    this.clear();
    let area = null;
    for (const {mask, color, outlineOnly} of items) {
      area = joined(area, mask);
      const fillColor = packed(color, outlineOnly ? 0.004 : opacity), edge = packed(color, 1);
      paintSpans(pixels, width, mask.spans, fillColor);
      paintOutline(pixels, width, mask, fillColor, edge, thick);
    }
    this.put(joined(area, this.dirty));
    this.dirty = area;
  }

  clear() {
    if (!this.dirty) return;
    const {left, right, top, bottom} = this.dirty;
    for (let y = top; y < bottom; y++) this.pixels.fill(0, y * this.width + left, y * this.width + right);
  }

  put(area) {
    if (!area) return;
    this.context.putImageData(this.image, 0, 0, area.left, area.top, area.right - area.left, area.bottom - area.top);
  }
}

/** The names over the masks of one pane, as sharp as the screen is. */
export class Labels {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext('2d');
  }

  /** Draws items {mask, color, text}; `scale`: pixels of the screen by those of the picture. */
  draw(items, scale) {
    const {canvas, context} = this, ratio = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map(side => Math.round(side * ratio));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
    else context.clearRect(0, 0, width, height);
    const size = 12 * ratio, tall = 16 * ratio, pad = 3 * ratio;
    context.font = `600 ${size}px system-ui, sans-serif`;
    context.textBaseline = 'middle';
    for (const {mask, color, text} of items) {
      const wide = context.measureText(text).width + 2 * pad, top = mask.top * scale * ratio;
      const x = Math.max(0, Math.min(mask.left * scale * ratio, width - wide));
      const y = top >= tall ? top - tall : Math.min(top, height - tall);
      context.fillStyle = color;
      context.fillRect(x, y, wide, tall);
      context.fillStyle = isDark(color) ? '#fff' : '#000';
      context.fillText(text, x + pad, y + tall / 2);
    }
  }
}

function joined(a, b) {
  if (!a || !b) return a || b;
  return {left: Math.min(a.left, b.left), right: Math.max(a.right, b.right), top: Math.min(a.top, b.top),
    bottom: Math.max(a.bottom, b.bottom)};
}

/** Whether white is easier to read on a colour than black. */
function isDark(color) {
  const value = parseInt(color.slice(1), 16);
  const [red, green, blue] = [value >> 16, value >> 8 & 255, value & 255].map(one => (one / 255) ** 2.2);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.179;
}
