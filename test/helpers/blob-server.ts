/** A process that serves one blob until it is killed, or told to exit. */
import { BlobServer } from '../../shared/wire/socket-blobs.ts';

const server = await BlobServer.start(process.argv[2]!);
process.send?.(server.put('vector', new Uint8Array(100_000)));
process.on('message', () => process.exit());
