// Run lengths of COCO: columns from left to right, background and foreground in turn, each number in groups of five bits,
// from the fourth on as the difference to the number two before.

/** The foreground of a mask: vertical spans x, first y, y behind the last, one after another, and the box around them. */
export function decodeRle(counts, height) {
  const spans = [];
  let position = 0, previous = 0, beforePrevious = 0, index = 0, at = 0;
  let left = Infinity, right = -1, top = Infinity, bottom = 0;
  while (position < counts.length) {
    let value = 0, shift = 0, code;
    do {
      code = counts.charCodeAt(position++) - 48;
      value |= (code & 31) << shift;
      shift += 5;
    } while (code & 32);
    if (code & 16 && shift < 32) value |= -1 << shift;
    if (index > 2) value += beforePrevious;
    beforePrevious = previous;
    previous = value;
    if (index % 2 === 1 && value > 0) {
      let x = Math.floor(at / height), y = at - x * height, rest = value;
      left = Math.min(left, x);
      while (rest > 0) {
        const end = Math.min(height, y + rest);
        spans.push(x, y, end);
        top = Math.min(top, y);
        bottom = Math.max(bottom, end);
        right = x;
        rest -= end - y;
        y = 0;
        x++;
      }
    }
    at += value;
    index++;
  }
  return {spans: Int32Array.from(spans), left, right: right + 1, top, bottom};
}
