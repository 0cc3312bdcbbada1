// Small helpers over the DOM. Text only ever goes in as text nodes.

export function byId(id) {
  return document.getElementById(id);
}

/** el('td', { class: 'n' }, 'text', child...) */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A message in a role="alert" paragraph, or '' to take it away. */
export function showError(element, text) {
  element.textContent = text;
  element.hidden = text === '';
}

/** Puts an entry first and keeps the list short; hides the "nothing yet" paragraph. */
export function prependEntry(list, entry, limit, emptyNote) {
  list.prepend(entry);
  while (list.children.length > limit) list.lastElementChild.remove();
  emptyNote.hidden = true;
}
