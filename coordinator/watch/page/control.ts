/** Orders to the coordinator, for those who have its control token. */
import type { WorkerView } from '../../view/run-view.ts';
import { byId, element, setText } from './dom.ts';

const stored = 'cornet control token';
/** Milliseconds for which a button that is dangerous waits for the second press. */
const patience = 10_000;

export class Control {
  readonly #token = element('input', '');
  readonly #answer = element('p', 'note');
  #shown = false;

  /** Shown once it is known that orders are taken. */
  show(): void {
    byId('control').hidden = false;
    if (this.#shown) return;
    this.#shown = true;
    this.#token.type = 'password';
    this.#token.placeholder = 'control token';
    this.#token.autocomplete = 'off';
    this.#token.setAttribute('aria-label', 'Control token');
    this.#token.value = sessionStorage.getItem(stored) ?? '';
    this.#token.addEventListener('input', () => sessionStorage.setItem(stored, this.#token.value));
    this.#answer.setAttribute('role', 'status');
    const checkpoint = button('Checkpoint now', () => this.#order('checkpoint'));
    checkpoint.id = 'order-checkpoint';
    const stop = twice('Stop after this step', () => this.#order('stop'));
    stop.id = 'order-stop';
    // Browsers want a password in a form; this one is never sent.
    const form = element('form', '', this.#token);
    form.addEventListener('submit', (event) => event.preventDefault());
    byId('control').append(form, element('div', 'buttons', checkpoint, stop), this.#answer);
  }

  /** Nobody takes orders any more. */
  hide(): void {
    byId('control').hidden = true;
  }

  /** Makes the button that drains a worker; null where no token was entered. */
  buttonFor({ id, draining }: WorkerView): (() => HTMLElement) | null {
    if (!this.#shown || this.#token.value === '' || draining) return null;
    return () => {
      const order = `drain?worker=${encodeURIComponent(id)}`;
      const made = twice('Drain', () => this.#order(order), id);
      made.title = 'The worker leaves after this step; its lanes go to the others.';
      return made;
    };
  }

  async #order(what: string): Promise<void> {
    setText(this.#answer, '…');
    try {
      const headers = { Authorization: `Bearer ${this.#token.value}` };
      const response = await fetch(`control/${what}`, { method: 'POST', headers });
      setText(this.#answer, (await response.text()).trim());
    } catch {
      setText(this.#answer, 'The coordinator does not answer.');
    }
  }
}

function button(label: string, press: () => void): HTMLButtonElement {
  const made = element('button', '', label);
  made.type = 'button';
  made.addEventListener('click', press);
  return made;
}

/**
 * A button that must be pressed a second time, and says what for.
 * @param whom what it is about, where that is not clear from the label
 */
function twice(label: string, press: () => void, whom = ''): HTMLButtonElement {
  const question = `${label}${whom === '' ? '' : ` ${whom}`}? Press again`;
  let waiting: ReturnType<typeof setTimeout> | undefined;
  const arm = (armed: boolean) => {
    clearTimeout(waiting);
    waiting = armed ? setTimeout(arm, patience, false) : undefined;
    setText(made, armed ? question : label);
    made.classList.toggle('armed', armed);
  };
  const made = button(label, () => {
    const armed = waiting !== undefined;
    arm(!armed);
    if (armed) press();
  });
  made.addEventListener('blur', () => arm(false));
  return made;
}
