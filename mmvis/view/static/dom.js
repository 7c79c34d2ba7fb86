// Building elements. What comes from files becomes text nodes and properties, never markup.

const SVG_FREE = new Set(['class', 'for', 'colspan', 'scope', 'href', 'src', 'type']);

/** An element: el('a', {href, onclick, 'aria-label', data: {key}}, child, ...); strings become text, null is left out. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'data') Object.assign(node.dataset, value);
    else if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (SVG_FREE.has(name) || name.startsWith('aria-') || !(name in node)) node.setAttribute(name, value === true ? '' : value);
    else node[name] = value;
  }
  fill(node, ...children);
  return node;
}

/** Replaces what is in an element. */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter(child => child !== null && child !== undefined && child !== false));
}

/** A choice of one: options are [value, text]. */
export function select(label, options, value, onchange) {
  const node = el('select', {'aria-label': label, onchange: event => onchange(event.target.value)},
    ...options.map(([key, text]) => el('option', {value: key, selected: String(key) === String(value)}, text)));
  return el('label', {class: 'field'}, el('span', {}, label), node);
}

/** A labelled input. */
export function field(label, props) {
  return el('label', {class: 'field'}, el('span', {}, label), el('input', {'aria-label': label, ...props}));
}

/** A checkbox with its label behind it. */
export function check(label, checked, onchange) {
  return el('label', {class: 'check'}, el('input', {type: 'checkbox', checked, onchange: event => onchange(event.target.checked)}),
    label);
}

/** Shows a sentence at the foot of the page, or takes it away. */
export function say(text) {
  const node = document.getElementById('status');
  if (node.textContent !== text) node.textContent = text;
}

/** A number of 0 to 1 as the evaluation prints it; '-' where there is none. */
export function share(value) {
  return value === null || value === undefined || value === -1 ? '-' : value.toFixed(3);
}
