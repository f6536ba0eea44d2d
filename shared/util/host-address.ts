/** By what other hosts reach this one: its name, or its IPv4 or IPv6 address, without a port. */
import { isIPv6 } from 'node:net';
import { quoteName, shortened } from './printable.ts';

/** Characters of a text that is refused, as it is quoted. */
const shownOfRefused = 80;
/** Of a name, as the DNS has them. */
const longest = 253;

/** What is wrong with a text that is to be one, as a sentence without its full stop; null: nothing. */
export function mistakenHost(text: string): { why: string; hint: string } | null {
  const host = withoutBrackets(text);
  // Whatever else has a colon has a port behind it.
  // The zone of a link-local address is another one on each host.
  const isHost = host.includes(':') ? isIPv6(host) && !host.includes('%') : /^[a-z\d.-]+$/i.test(host);
  if (isHost && host.length <= longest) return null;
  const withoutSecret = text.replace(/:\/\/.*/s, '://***'); // a URL may hold a password
  return {
    why: `${quoteName(shortened(withoutSecret, shownOfRefused))} is neither the name nor the address of a host`,
    hint: 'Write a name, an IPv4 address or an IPv6 address, without a port: node7.example.org, 10.0.0.7 or fd00::7',
  };
}

/** An IPv6 address as sockets take it: `[fd00::7]`, as it stands in a URL, becomes `fd00::7`. */
export function withoutBrackets(text: string): string {
  return text.replace(/^\[(.*)\]$/, '$1');
}

/** As a URL has it: the opposite. */
export function inUrl(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
