/** Options of every command that conducts a run, as commander reads them. */
import { Option } from 'commander';
import { defaults } from '../../shared/defaults.ts';
import { decimal } from '../../shared/process/command-line.ts';

export const redisOption = new Option(
  '--redis <url>',
  'use this Redis (redis://, rediss://, unix://; redis+sentinel://host,host/master-name) instead of a private one; better in CORNET_REDIS_URL, where no process list shows it',
).env('CORNET_REDIS_URL');
export const waitOption = new Option(
  '--wait <s>',
  'seconds to wait until that Redis is there and takes commands (default: 0)',
).argParser(decimal(0, true));

export const diskOption = new Option(
  '--wait-for-disk <s>',
  `seconds that a result waits for a disk that is full or fails (default: ${defaults.waitForDisk})`,
).argParser(decimal(0, true));
