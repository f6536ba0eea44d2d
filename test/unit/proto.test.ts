import test from 'ava';
import { bytes, float, integer, message } from '../../shared/formats/proto.ts';

const hex = (pieces: readonly Uint8Array[]) => Buffer.concat(pieces).toString('hex');

test('fields are encoded as in the examples of the specification', (t) => {
  t.is(hex(message(integer(1, 150))), '089601');
  t.is(hex(message(bytes(2, 'testing'))), '120774657374696e67');
  t.is(hex(message(bytes(3, message(integer(1, 150))))), '1a03089601');
});

test('numbers beyond 32 bits, zero, and fields beyond 15', (t) => {
  t.is(hex(message(integer(1, 0))), '0800');
  t.is(hex(message(integer(1, 2 ** 40))), '08808080808020');
  t.is(hex(message(integer(20, 7))), 'a00107');
});

test('a float is the nearest float32, little endian', (t) => {
  t.is(hex(message(float(2, 1))), '150000803f');
  t.is(hex(message(float(2, 1e-5))), '15acc52737');
});

test('large values are named and not copied, at whatever depth', (t) => {
  const large = new Uint8Array(100_000).fill(7);
  const pieces = message(integer(1, 1), bytes(2, message(bytes(9, large), integer(1, 2))), integer(3, 3));
  t.true(pieces.includes(large));
  t.is(pieces.length, 3);
  const whole = Buffer.concat(pieces);
  t.is(whole.subarray(0, 10).toString('hex'), '080112a68d064aa08d06');
  t.is(whole.subarray(-4).toString('hex'), '08021803');
});
