import test, { type TestFn } from 'ava';
import { possible } from './possible.ts';

/** How much is tested: `npm test` leaves out what takes long and varies what another test shows. */
const { CORNET_TESTS } = process.env;
const testsNightly = CORNET_TESTS === 'nightly';
/** As `npm run test:all` does, and CI. */
export const testsAll = CORNET_TESTS === 'all' || testsNightly;

/** `test` for those that only `npm run test:all` runs, as CI does. */
export const thorough = (
  possible(testsAll, 'it takes long; npm run test:all runs it, too') ? test : test.skip
) as TestFn;
/** The same, one after the other. */
export const thoroughSerial = (testsAll ? test.serial : test.serial.skip) as TestFn;
/** Those that vary what a thorough one shows. */
export const nightlySerial = (
  possible(testsNightly, 'it varies what another one shows; .ci/nightly runs it, too')
    ? test.serial
    : test.serial.skip
) as TestFn;
