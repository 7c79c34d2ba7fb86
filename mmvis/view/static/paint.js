// Masks, outlines and labels on a canvas that lies over the picture and has its size.

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

  /** Draws items {mask, color, outlineOnly, text}, the first one lowest; `scale`: pixels of the picture by those of the screen. */
  draw(items, opacity, withLabels, scale) {
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
    if (withLabels) for (const item of items) this.label(item, scale, height);
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

  label({mask, color, text}, scale, height) {
    const context = this.context, size = 12 * scale, pad = 3 * scale;
    context.font = `600 ${size}px system-ui, sans-serif`;
    const width = context.measureText(text).width + 2 * pad, tall = size + 2 * pad;
    const x = Math.round(Math.max(0, Math.min(mask.left, this.width - width)));
    const y = Math.round(mask.top >= tall ? mask.top - tall : Math.min(mask.top, height - tall));
    context.fillStyle = color;
    context.fillRect(x, y, width, tall);
    context.fillStyle = isDark(color) ? '#fff' : '#000';
    context.textBaseline = 'middle';
    context.fillText(text, x + pad, y + tall / 2);
    this.dirty = joined(this.dirty, {left: x, right: Math.min(this.width, Math.ceil(x + width) + 1), top: Math.max(0, y),
      bottom: Math.min(height, Math.ceil(y + tall) + 1)});
  }
}

function joined(a, b) {
  if (!a || !b) return a || b;
  return {left: Math.min(a.left, b.left), right: Math.max(a.right, b.right), top: Math.min(a.top, b.top),
    bottom: Math.max(a.bottom, b.bottom)};
}

function isDark(color) {
  const value = parseInt(color.slice(1), 16);
  return 0.299 * (value >> 16) + 0.587 * (value >> 8 & 255) + 0.114 * (value & 255) < 140;
}
