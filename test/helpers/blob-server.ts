/** A process that serves one blob by a carrier until it is killed, or told to exit. */
import { BlobServer } from '../../shared/wire/blob-server.ts';

const [token, carrier] = process.argv.slice(2) as [string, 'local' | 'tcp'];
const tcp = carrier === 'tcp' ? { host: '127.0.0.1', encrypted: false } : null;
const server = await BlobServer.open({ token, tcp }, console.error);
const ref = server!.put('vector', new Uint8Array(100_000), carrier);
process.send?.({ ref, server: server!.tcp });
process.on('message', () => process.exit());
