/** The few things that the page does with the document. Text is only ever set as text. */

type Child = Node | string;

export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className: string,
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (className !== '') made.className = className;
  made.append(...children);
  return made;
}

export function svg(tag: string, attributes: Record<string, string | number>, text = ''): SVGElement {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  if (text !== '') made.textContent = text;
  return made;
}

/** Does nothing where nothing changes: a reader's selection and a screen reader's place stay. */
export function setText(target: HTMLElement, text: string): void {
  if (target.textContent !== text) target.textContent = text;
}

/** The same for everything inside; `key` stands for the content. */
export function fill(target: HTMLElement, key: string, children: () => Child[]): void {
  if (target.dataset.shows === key) return;
  target.dataset.shows = key;
  target.replaceChildren(...children());
}
