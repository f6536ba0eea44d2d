import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';

/** What is answered besides a page: why something is refused, or what was done. */
export interface HttpReply {
  status: number;
  /** For the user to read. */
  reason: string;
}

/**
 * A web site can point a name of its own at this machine and so make a browser send it here (DNS rebinding); it cannot
 * do so with an address, and not with this machine's own names.
 * @param names of this machine besides localhost
 */
export function whyNotOwnHost({ host }: IncomingHttpHeaders, names: readonly string[]): HttpReply | null {
  const url = `http://${host}/`;
  const name = host !== undefined && URL.canParse(url) ? new URL(url).hostname : null;
  if (name !== null) {
    const address = isIP(name.replace(/^\[(.*)\]$/, '$1')) !== 0;
    if (address || name === 'localhost' || name.endsWith('.localhost')) return null;
    if (names.some((own) => own.toLowerCase() === name)) return null;
  }
  const reason =
    'Ask by the address of this machine, as localhost, by its host name, or by the name that --metrics-host says.';
  return { status: 403, reason };
}
