/** Who may give orders. */
import { readFile } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import { controlToken } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import type { HttpReply } from '../../shared/process/own-host.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { sameSecret } from '../../shared/wire/same-secret.ts';

/**
 * An order must carry the token in a header, which no form and no link of another site can, and where a browser says
 * what page it comes from it must be this one.
 * @param token null: this coordinator takes no orders
 */
export function whyNotObeyed(headers: IncomingHttpHeaders, token: string | null): HttpReply | null {
  if (token === null) {
    const reason = 'This coordinator takes no orders: it was started without a control token.';
    return { status: 403, reason };
  }
  const { origin, host, authorization } = headers;
  const site = headers['sec-fetch-site'];
  const own = [`http://${host}`, `https://${host}`];
  const foreign = origin !== undefined && !own.includes(origin);
  if (foreign || (site !== undefined && site !== 'same-origin' && site !== 'none')) {
    return { status: 403, reason: 'Orders from pages of other sites are not taken.' };
  }
  const given = /^Bearer (.+)$/.exec(authorization ?? '')?.[1] ?? '';
  if (sameSecret(given, token)) return null;
  return { status: 401, reason: 'The control token is missing or wrong.' };
}

/**
 * The token from a file or from the environment; null: there is none.
 * @throws CornetError CONTROL_TOKEN_INVALID
 */
export async function readControlToken(
  file: string | undefined,
  env: NodeJS.ProcessEnv,
): Promise<string | null> {
  let token = env.CORNET_CONTROL_TOKEN?.trim();
  if (file !== undefined) {
    try {
      token = (await readFile(file, 'utf8')).trim();
    } catch (cause) {
      throw new CornetError(
        'CONTROL_TOKEN_INVALID',
        `The control token's file ${quoteName(file)} cannot be read.`,
        {
          cause,
        },
      );
    }
  } else if (token === undefined) return null;
  if (token !== undefined && token.length >= controlToken.shortest && /^[\x21-\x7e]+$/.test(token))
    return token;
  throw new CornetError(
    'CONTROL_TOKEN_INVALID',
    `The control token must have at least ${controlToken.shortest} characters, none of them a blank.`,
  );
}
