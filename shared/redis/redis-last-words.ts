import { connect } from 'node:net';
import type { RedisOptions } from 'ioredis';
import { masterOf } from './sentinels.ts';

/** Milliseconds for a server to say why it takes nobody: it does so at once, or not at all. */
const patience = 1_000;
const longestReply = 4_096;

/**
 * Why a Redis closes connections as soon as they are made: it says so in one line, unasked, which is lost where the other
 * side writes at the same time. Null when it says nothing, or is behind TLS, where nothing can be said so early.
 */
export async function lastWords(options: RedisOptions): Promise<string | null> {
  if (options.tls !== undefined) return null;
  const place = options.sentinels == null ? options : await masterOf(options);
  return place === null ? null : heardFrom(place);
}

function heardFrom({ host, port, path }: RedisOptions): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = path === undefined ? connect(port ?? 6379, host ?? '127.0.0.1') : connect({ path });
    let heard = '';
    const end = () => {
      clearTimeout(late);
      socket.destroy();
      const line = heard.split('\r\n', 1)[0]!;
      resolve(line.startsWith('-') ? line.slice(1) : null);
    };
    const late = setTimeout(end, patience);
    socket.setEncoding('utf8');
    socket.on('data', (text) => {
      heard += text;
      if (heard.includes('\r\n') || heard.length > longestReply) end();
    });
    socket.on('error', end);
    socket.on('close', end);
  });
}
