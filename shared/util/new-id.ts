import { customAlphabet } from 'nanoid';

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const first = customAlphabet(letters, 1);
const rest = customAlphabet(`0123456789${letters}`, 9);

/** The id of a run or a worker: no shell and no program takes it for an option, and a double click selects it all. */
export function newId(): string {
  return first() + rest();
}
