/** Commands and paths, each with a button that copies it. */
import { element, setText } from './dom.ts';

/** Milliseconds for which a button says that it has done so. */
const saidFor = 2_000;

/**
 * Some text for a shell, as it is, with its button.
 * @param what it is, for those who cannot see it
 */
export function copyable(text: string, what: string): HTMLElement {
  const code = element('code', '', ...words(text));
  const made = element('button', 'copy', 'Copy');
  made.type = 'button';
  const label = `Copy ${what}`;
  made.setAttribute('aria-label', label);
  const say = (word: string, name: string) => {
    setText(made, word);
    made.setAttribute('aria-label', name);
  };
  made.addEventListener('click', async () => {
    const copied = await copy(text, code);
    say(copied ? 'Copied' : 'Selected', copied ? `Copied ${what}` : `Selected ${what}`);
    setTimeout(() => say('Copy', label), saidFor);
  });
  return element('span', 'copyable', code, made);
}

/** Options are not to be broken after their hyphens. */
function words(text: string): (Node | string)[] {
  return text.split(' ').flatMap((word, i) => [...(i === 0 ? [] : [' ']), element('span', 'word', word)]);
}

/** Over plain HTTP from another host there is no clipboard: then the text is selected, and the browser is asked. */
async function copy(text: string, code: HTMLElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection()?.selectAllChildren(code);
    return document.execCommand('copy');
  }
}
