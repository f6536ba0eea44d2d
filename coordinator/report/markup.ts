/** Text that goes into SVG and HTML. */
import { oneLine } from '../../shared/util/printable.ts';

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** As the content of an element or the value of an attribute: nothing in it is markup, and XML allows all of it. */
export function escapeMarkup(text: string): string {
  return oneLine(text)
    .replace(/[\ufffe\uffff]/g, '\ufffd') // XML 1.0 has no such characters, not even as entities
    .replace(/[&<>"']/g, (character) => entities[character]!);
}
