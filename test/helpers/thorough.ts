import test, { type TestFn } from 'ava';
import { possible } from './possible.ts';

/** Whether everything is tested: `npm test` leaves out what takes long and varies what another test shows. */
export const testsAll = process.env.CORNET_TESTS === 'all';

/** `test` for those that only `npm run test:all` runs, as CI does. */
export const thorough = (
  possible(testsAll, 'it takes long; npm run test:all runs it, too') ? test : test.skip
) as TestFn;
/** The same, one after the other. */
export const thoroughSerial = (testsAll ? test.serial : test.serial.skip) as TestFn;
