/** Building and changing the page. What a server, an engine or a file says becomes text, never HTML. */

/**
 * Make an element.
 *
 * @param {string} tag its name, and classes behind dots: `div.kf-card`
 * @param {object} attributes attributes; functions become listeners of the event of this name; `null` and `false` are left out
 * @param {...(Node|string|null)} children what is in it
 */
export function make(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split('.');
  const node = document.createElement(name);
  if (classes.length) {
    node.className = classes.join(' ');
  }
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === 'function') {
      node.addEventListener(key, value);
    } else {
      setAttribute(node, key, value);
    }
  }
  node.append(...children.filter(child => child !== null && child !== undefined));
  return node;
}

/** Set an attribute if it has changed; `null` and `false` remove it. */
export function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === false) {
    node.removeAttribute(name);
  } else {
    const text = value === true ? '' : String(value);
    if (node.getAttribute(name) !== text) {
      node.setAttribute(name, text);
    }
  }
}

/** Set the text of a node if it has changed, so that a page that stays the same is not laid out again. */
export function setText(node, text) {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}

/** Show or hide a node. */
export function setShown(node, shown) {
  if (node.hidden === shown) {
    node.hidden = !shown;
  }
}

/**
 * Make the children of a node one view per item, in order; views of items that are still there stay as they are.
 *
 * @param {Element} parent the node
 * @param {Map<any, {node: Element}>} views the views by key; changed here
 * @param {Array} items what is shown
 * @param {Function} keyOf the key of an item
 * @param {Function} create makes the view of an item
 */
export function keyed(parent, views, items, keyOf, create) {
  const keys = new Set(items.map(keyOf));
  for (const [key, view] of views) {
    if (!keys.has(key)) {
      view.node.remove();
      views.delete(key);
    }
  }
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let view = views.get(key);
    if (!view) {
      view = create(item);
      views.set(key, view);
    }
    if (view.node === place) {
      place = place.nextElementSibling;
    } else {
      parent.insertBefore(view.node, place);
    }
  }
}
